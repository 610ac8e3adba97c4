"""dlt: its REST source into a custom destination that posts batches of 100.

dlt_pipeline.py URL RECORDS
"""

import os
import sys
import tempfile
from typing import Any

os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")  # read when dlt is imported

import dlt
from dlt.sources.helpers import requests
from dlt.sources.rest_api import rest_api_source

from contact import mapped


def main(url: str, records: int) -> None:
    """Send every contact."""
    source = rest_api_source(
        {
            "client": {
                "base_url": url,
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "page_param": "page",
                    "total_path": None,
                    "stop_after_empty_page": False,
                    "maximum_page": 1 + -(-records // 100),  # the first page not read
                },
            },
            "resources": [
                {
                    "name": "contacts",
                    "endpoint": {"path": "contacts", "params": {"limit": 100}, "data_selector": "data"},
                    "max_table_nesting": 0,
                }
            ],
        }
    )
    source.contacts.add_map(mapped)

    @dlt.destination(batch_size=100, loader_file_format="typed-jsonl", max_parallel_load_jobs=4)
    def members(items: Any, table: Any) -> None:
        requests.post(url + "/batch", json=items).raise_for_status()

    with tempfile.TemporaryDirectory() as folder:
        print(dlt.pipeline("bench", destination=members, pipelines_dir=folder).run(source))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""airbyte-cdk: a declarative manifest, read to standard output.

airbyte_read.py URL
"""

import json
import sys
import tempfile
from pathlib import Path

import yaml
from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

CATALOG = {
    "streams": [
        {
            "stream": {"name": "contacts", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
    ]
}


def main(url: str) -> None:
    """Read every contact."""
    manifest = yaml.safe_load(Path(__file__).with_name("airbyte_manifest.yaml").read_text())
    manifest["streams"][0]["retriever"]["requester"]["url_base"] = url
    source = ConcurrentDeclarativeSource(catalog=None, config={}, state=None, source_config=manifest)
    with tempfile.TemporaryDirectory() as folder:
        config, catalog = Path(folder, "config.json"), Path(folder, "catalog.json")
        config.write_text("{}")
        catalog.write_text(json.dumps(CATALOG))
        launch(source, ["read", "--config", str(config), "--catalog", str(catalog)])


if __name__ == "__main__":
    main(sys.argv[1])

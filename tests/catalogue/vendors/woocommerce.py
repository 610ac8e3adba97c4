"""WooCommerce's products: times without an offset, pages told by `Link`, a batch address that takes three lists."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused


class WooCommerce(FakeVendor):
    connector, resource, email, name = "woocommerce", "products", "sku", "name"
    connection = 'auth: { basic: { username: "${env:KEY}", password: "${env:KEY}" } }, variables: { host: shop }'
    seeds = 12
    tells_deletions = False

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Basic "):
            raise Refused(401, {"code": "woocommerce_rest_cannot_view", "message": "Sorry, you cannot list resources."})
        match asked.method, asked.path.removeprefix("/wp-json/wc/v3").strip("/").split("/"):
            case "GET", ["products"]:
                return self._list(asked)
            case "POST", ["products", "batch"]:
                if set(asked.json) - {"create", "update", "delete"} or sum(map(len, asked.json.values())) > 100:
                    raise Refused(413, {"code": "woocommerce_rest_request_entity_too_large", "message": "too many"})
                return 200, {what: [self._in_batch(what, sent) for sent in sent_all] for what, sent_all in asked.json.items()}
            case "POST", ["products"]:
                return 201, self._made(asked.json)
            case method, ["products", id] if (entry := self.book.get(id)) is not None:
                if method == "PUT":
                    self._changed(entry, asked.json)
                if method == "DELETE":
                    if self.only(asked, "force") != {"force": "true"}:
                        raise Refused(501, {"code": "woocommerce_rest_trash_not_supported", "message": "force"})
                    self.book.delete(entry)
                return 200, self._shown(entry)
        return 404, {"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID."}

    def _in_batch(self, what: str, sent: Any) -> dict[str, Any]:
        if what == "create":
            return self._made(sent)
        id = str(sent["id"] if what == "update" else sent)
        entry = self.book.get(id)
        if entry is None:
            return {
                "id": int(id),
                "error": {"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID.", "data": {"status": 400}},
            }
        if what == "update":
            self._changed(entry, {key: value for key, value in sent.items() if key != "id"})
        else:
            self.book.delete(entry)
        return self._shown(entry)

    def _made(self, sent: dict[str, Any]) -> dict[str, Any]:
        self._known(sent)
        if sent["sku"] in self.book.people:
            raise Refused(400, {"code": "product_invalid_sku", "message": "Invalid or duplicated SKU."})
        return self._shown(self.book.add(sent["sku"], sent["name"]))

    def _changed(self, entry: Entry, sent: dict[str, Any]) -> None:
        self._known(sent)
        self.book.edit(entry, name=sent.get("name"), email=sent.get("sku"))

    @staticmethod
    def _known(sent: dict[str, Any]) -> None:
        if unknown := set(sent) - {"sku", "name", "regular_price", "description", "stock_quantity", "status"}:
            raise Refused(400, {"code": "rest_invalid_param", "message": f"Invalid parameter(s): {sorted(unknown)}"})

    def _list(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "per_page", "page", "modified_after", "dates_are_gmt", "orderby", "order", "sku")
        if int(query.get("per_page", 10)) > 100:
            raise Refused(400, {"code": "rest_invalid_param", "message": "per_page"})
        since = None
        if "modified_after" in query:
            if query.get("dates_are_gmt") != "true":
                raise Refused(400, {"code": "test", "message": "the shop's own time would be meant"})
            since = dt.datetime.fromisoformat(query["modified_after"]).replace(tzinfo=dt.UTC)
        found = [entry for entry in self.book.since(since, after=True) if query.get("sku", entry.email) == entry.email]
        size, number = 5, int(query.get("page", 1))
        page = found[(number - 1) * size : number * size]
        self.shown += len(page)
        headers = {"X-WP-Total": str(len(found)), "X-WP-TotalPages": str(-(-len(found) // size))}
        if number * size < len(found):
            following = urlencode({**query, "page": number + 1})
            headers["Link"] = f'<http://{asked.headers["Host"]}{asked.path}?{following}>; rel="next"'
        return 200, [self._shown(entry) for entry in page], headers

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        return {
            "id": int(entry.id),
            "sku": entry.email,
            "name": entry.name,
            "regular_price": "10.00",
            "description": "",
            "stock_quantity": None,
            "status": "publish",
            "date_modified_gmt": entry.updated.strftime("%Y-%m-%dT%H:%M:%S"),
        }

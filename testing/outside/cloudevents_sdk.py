"""CloudEvents' own library as a client both ways: it makes events and posts them, reads what is served, and compares.

    cloudevents_sdk.py http://127.0.0.1:8080

`WAAG_KEY` is an administrator's key. Each case is posted in structured mode, in binary mode, in a batch and as JSON Lines
(the library has neither of the last two, so its structured bodies are put together), and read back in both modes, each
event under an id of its own. What the library reads must be what it made: every attribute, every extension, the data.
In binary mode every attribute is text on the wire, so that numbers and truth values come back as text.
"""

import datetime
import http.client
import json
import os
import sys
import urllib.parse

from cloudevents.core.bindings import http as binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

FORMAT = JSONFormat()
REASON = {"waag-reveal-reason": "an%20outside%20test"}
UTC = datetime.timezone.utc
TIME = datetime.datetime(2026, 11, 21, 8, 0, 0, 123456, UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INVOICE = {"invoice_id": "INV-1", "vendor": "Çelik & Söhne", "amount_minor": 12550, "currency": "EUR", "status": "received"}
# Name, attributes beside id, data.
CASES = [
    ("least", {}, None),
    ("every attribute", {"subject": "s", "time": TIME, "datacontenttype": "application/json", "dataschema": "https://s.example/v1#a"}, {"a": 1}),
    ("tracing", {"traceparent": TRACE, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "time": TIME}, {"a": [1, None, True]}),
    ("non-ASCII", {"subject": "Grüße, 世界 🌍", "comexampleext": "Ωmega €"}, {"ключ": "значение", "emoji": "🧾"}),
    ("percent and quotes", {"subject": '100% "sure" %41 \\ back', "ext": "a,b;c=d"}, {"s": '"%20"\\'}),
    ("spaces", {"subject": " both ends "}, {"s": "  "}),
    ("extension types", {"flag": True, "off": False, "count": -2147483648, "most": 2147483647}, {"a": 0}),
    ("source with escapes", {"source": "https://erp.example/%C3%BC?q=%20&r=1#f"}, {"a": 1}),
    ("urn source", {"source": "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"}, {"a": 1}),
    ("json suffix", {"datacontenttype": "application/vnd.example+json"}, {"a": 1}),
    ("json with charset", {"datacontenttype": "application/json; charset=utf-8"}, {"a": "ü"}),
    ("text", {"datacontenttype": "text/plain"}, "plain text, ünïcode"),
    ("xml", {"datacontenttype": "application/xml"}, "<a>ü</a>"),
    ("bytes", {"datacontenttype": "application/octet-stream"}, bytes(range(256))),
    ("image", {"datacontenttype": "image/png"}, b"\x89PNG\r\n\x1a\n\x00\xff"),
    ("early time", {"time": datetime.datetime(1948, 1, 1, tzinfo=UTC)}, {"a": 1}),
    ("time of another zone", {"time": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-5)))}, {"a": 1}),
    ("numbers", {}, {"exact": 0.1, "big": 10**30, "small": -1.5e-7, "zero": 0}),
    ("deep", {}, {"a": {"b": {"c": [[["x"]]]}}}),
    ("long", {"subject": "s" * 1000, "ext": "e" * 2000}, {"text": "ü" * 20000}),
    ("an invoice", {"type": "invoice.ingestion", "subject": "INV-1", "time": TIME, "datacontenttype": "application/json"}, INVOICE),
]
MODES = ["structured", "binary", "batch", "lines"]


class Client:
    def __init__(self, address):
        self.host = urllib.parse.urlsplit(address).netloc
        self.connection = http.client.HTTPConnection(self.host, timeout=20)

    def ask(self, method, path, headers, body=b""):
        self.connection.request(method, path, body, {"x-api-key": os.environ["WAAG_KEY"]} | headers)
        answer = self.connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def post(self, event, mode):
        message = (binding.to_binary if mode == "binary" else binding.to_structured)(event, FORMAT)
        headers, body = dict(message.headers), message.body
        if mode == "batch":
            headers, body = {"content-type": "application/cloudevents-batch+json"}, b"[" + body + b"]"
        if mode == "lines":
            headers, body = {"content-type": "application/jsonl"}, body + b"\n"
        status, _, answer = self.ask("POST", "/v1/events", headers, body)
        told = json.loads(answer)
        item = told["items"][0] if mode in ("batch", "lines") and status == 200 else told
        assert status == 200 and item["status"] == "recorded", (status, told)
        return item["position"], item["leaf_hash"]

    def read(self, position, leaf, mode):
        status, headers, body = self.ask("GET", f"/v1/events/{position}?mode={mode}", REASON)
        assert status == 200, (status, body)
        assert (headers["waag-position"], headers["waag-leaf-hash"]) == (str(position), leaf), headers
        is_binary = any(name.startswith("ce-") for name in headers)
        assert is_binary == (mode == "binary"), headers
        ours = {name: value for name, value in headers.items() if name.startswith("ce-") or name == "content-type"}
        return binding.from_http(binding.HTTPMessage(ours, body), FORMAT)


def made(number, mode, attributes):
    event = {"type": "com.example.outside", "source": "/outside", "id": f"{number}-{mode}-ü"} | attributes
    # The library gives an event without a time the present one, so each has one here.
    return {"time": TIME} | event


def as_text(value):
    return value if isinstance(value, (str, datetime.datetime)) else str(value).lower() if isinstance(value, bool) else str(value)


def as_bytes(data):
    return data.encode() if isinstance(data, str) else data


def difference(want, want_data, got, texts):
    got_attributes = dict(got.get_attributes())
    # Data without a content type is JSON (JSON format §3.1), which binary mode has to say.
    if "datacontenttype" not in want and want_data is not None and texts:
        assert got_attributes.pop("datacontenttype") == "application/json"
    want = {name: as_text(value) if texts else value for name, value in want.items()} | {"specversion": "1.0"}
    if got_attributes != want:
        return f"attributes {got_attributes} instead of {want}"
    got_data = got.get_data()
    # Text and bytes of another type than JSON are the same on the wire.
    if as_bytes(got_data) != as_bytes(want_data):
        return f"data {got_data!r:.300} instead of {want_data!r:.300}"
    return None


def main():
    client = Client(sys.argv[1])
    cases = reads = 0
    wrong = []
    for number, (name, attributes, data) in enumerate(CASES):
        for mode in MODES:
            want = made(number, mode, attributes)
            event = CloudEvent(dict(want), data)
            # On its way through binary mode an attribute has become text; of a truth value this library makes `True`, where
            # CloudEvents §3.1 has `true`.
            sent = {key: str(value) if isinstance(value, bool) else as_text(value) for key, value in want.items()}
            sent = sent if mode == "binary" else want
            if mode == "binary" and "datacontenttype" not in want and data is not None:
                # The library then names no content type, and a body without one cannot be told to be JSON.
                event = CloudEvent(dict(want) | {"datacontenttype": "application/json"}, data)
                sent = sent | {"datacontenttype": "application/json"}
            cases += 1
            try:
                position, leaf = client.post(event, mode)
                for back in ("structured", "binary"):
                    reads += 1
                    found = difference(sent, data, client.read(position, leaf, back), back == "binary")
                    if found:
                        wrong.append(f"{name}, posted {mode}, read {back}: {found}")
            except Exception as error:
                wrong.append(f"{name}, posted {mode}: {type(error).__name__}: {error}")
    version = __import__("importlib.metadata").metadata.version("cloudevents")
    print(f"cloudevents {version}: {len(CASES)} events, {cases} posted in {len(MODES)} forms, {reads} read back, {len(wrong)} wrong")
    for line in wrong:
        print(line)
    return 1 if wrong or reads != 2 * cases else 0


sys.exit(main())

"""What schemathesis has to know beyond the OpenAPI document, and nothing that would spare the node a finding.

- JSON Lines: how a list becomes a body, since the tool knows no such media type.
- What JSON Schema cannot say: a number has at most 38 digits; an attribute of CloudEvents that is a number is written
  without a point (`1.0` is an integer to JSON Schema); data of a type with a registered schema is held to that; an
  `Idempotency-Key` stands for one request, and an invoice without an `id` needs one.
- In binary mode an answer's body is the event's data, so that its content type and form are those of the event;
  cloudevents_sdk.py looks at them.
- Answers are held to their schemas as if these were closed: a member that the document does not name is a finding.
- Deliveries: a whole number with a point (`1.0`) is an integer to JSON Schema and none to Waag; a changed subscription has
  the name of its path; no address that is made up is called, and no pull waits longer than the tool does.
- An `If-Match` without a value, which the tool takes for a valid one against its pattern, is left out of what is valid.
"""

import json
import re
import uuid

import schemathesis

ANSWERS = ["Receipt", "Receipts", "Outcome", "RangeProof", "Ledger", "Tried", "Status", "Fault", "Problem"]
ANSWERS += ["Overview", "Subscriptions", "Standing", "Created", "Detail", "Attempt", "Failure", "ParkedKey"]
ANSWERS += ["DeadLetters", "DeadLetter", "Job", "Jobs", "Pulled", "LeasedEvent", "Results", "Result", "Count", "Matches"]
ANSWERS += ["InvoiceList", "InvoiceLife", "InvoiceLifecycle", "InvoiceState", "InvoiceVisit", "InvoiceStep"]
ANSWERS += ["InvoiceDuplicate", "InvoiceOddity", "InvoiceTotals", "InvoicePeriod", "InvoiceFigures", "InvoiceFigure"]
ANSWERS += ["InvoiceFigureOf", "InvoiceSeries", "InvoicePoint", "InvoiceTimes", "InvoiceTime", "InvoiceVendors"]
ANSWERS += ["InvoiceVendor", "InvoiceSum", "InvoiceCash", "InvoiceCashOf", "InvoiceCashDue", "InvoicesWithoutValue"]
DELIVERIES = ("/v1/subscriptions", "/v1/delivery-jobs", "/v1/patterns")
PULL_MS_MAX = 200
ABOUT_THE_BODY = {
    "MissingContentType",
    "UndefinedContentType",
    "MalformedMediaType",
    "MalformedJson",
    "ContentDeserializationError",
    "JsonSchemaError",
}
NUMBER_DIGITS_MAX = 38
KEY = "Idempotency-Key"


@schemathesis.serializer("application/jsonl")
def lines(_context, value):
    items = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(item) for item in items).encode()


@schemathesis.hook
def before_load_schema(_context, raw_schema):
    for name in ANSWERS:
        raw_schema["components"]["schemas"][name]["additionalProperties"] = False


def has_long_number(value):
    match value:
        case bool():
            return False
        case int():
            return abs(value) >= 10**NUMBER_DIGITS_MAX
        case dict():
            return any(has_long_number(member) for member in value.values())
        case list():
            return any(has_long_number(item) for item in value)
    return False


def is_beyond_its_schema(event):
    if not isinstance(event, dict):
        return False
    has_point = any(isinstance(value, float) and value.is_integer() for value in event.values())
    return has_point or str(event.get("type")).startswith("invoice.")


def has_point(body):
    match body:
        case float():
            return body.is_integer()
        case dict():
            return any(has_point(member) for member in body.values())
        case list():
            return any(has_point(item) for item in body)
    return False


@schemathesis.hook
def filter_body(context, body):
    if has_long_number(body):
        return False
    if context.operation is not None and context.operation.path.startswith(DELIVERIES) and has_point(body):
        return False
    if context.operation is None or context.operation.path != "/v1/events":
        return True
    return not any(is_beyond_its_schema(event) for event in (body if isinstance(body, list) else [body]))


def lacks_id(body):
    invoices = body if isinstance(body, list) else [body]
    return any(isinstance(invoice, dict) and "id" not in invoice for invoice in invoices)


def keep_to_the_machine(case):
    """Addresses that are made up end in a domain that never is one; waits end before the tool's own."""
    spec = case.body.get("subscription") if isinstance(case.body, dict) else None
    target = spec.get("target") if isinstance(spec, dict) else None
    for name in ("url", "server"):
        address = target.get(name) if isinstance(target, dict) else None
        if isinstance(address, str) and "://" in address:
            scheme, rest = address.split("://", 1)
            target[name] = f"{scheme}://subscriber.invalid/{rest}"[:2048] if name == "url" else f"{scheme}://broker.invalid"
    if case.operation.label == "PUT /v1/subscriptions/{name}" and isinstance(spec, dict) and "name" in spec:
        is_name = isinstance(spec["name"], str) and re.fullmatch("[a-z][a-z0-9-]{0,63}", spec["name"])
        spec["name"] = case.path_parameters["name"] if is_name else spec["name"]
    wait = str((case.query or {}).get("wait_ms", ""))
    if case.operation.path.endswith("/pull") and wait.isdigit() and PULL_MS_MAX < int(wait) <= 60_000:
        case.query["wait_ms"] = PULL_MS_MAX


@schemathesis.hook
def before_call(_context, case, _kwargs):
    if case.operation.path.startswith(DELIVERIES):
        keep_to_the_machine(case)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for name in [name for name, value in (case.headers or {}).items() if name.lower() == "if-match" and not value]:
        del case.headers[name]
    key = next((name for name in case.headers or {} if name.lower() == KEY.lower()), None)
    if key is None and (case.operation.path != "/invoices/{stage}" or not lacks_id(case.body)):
        return
    # What was generated stays in it, so that every character it may have is tried.
    generated = case.headers[key] if key else ""
    inside = re.match(r'^"((?:[^"\\]|\\.){0,90})', generated)
    case.headers[key or KEY] = f'"{uuid.uuid4().hex} {inside.group(1) if inside else ""}"'


@schemathesis.hook
def filter_failure(_context, failure, case, _response):
    is_binary = case.operation.path == "/v1/events/{position}" and (case.query or {}).get("mode") == "binary"
    return not (is_binary and type(failure).__name__ in ABOUT_THE_BODY)

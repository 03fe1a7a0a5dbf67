"""What a node tells of itself, read by the libraries of those who define the forms.

`operations.py openmetrics FILE`: the text of `/metrics`, by prometheus_client's strict OpenMetrics parser.
`operations.py traces FILE`, `operations.py metrics FILE`: an OTLP message, by the OpenTelemetry project's own definitions.
Each prints what it read as JSON, and fails where anything is not as it must be.
"""

import json
import sys


def openmetrics(body):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    families = {}
    for family in text_string_to_metric_families(body.decode("utf-8")):
        assert family.name not in families, f"{family.name} is there twice"
        assert family.documentation, f"{family.name} has no help"
        samples = [[sample.name, sample.labels, sample.value] for sample in family.samples]
        families[family.name] = {"type": family.type, "unit": family.unit, "samples": samples}
    return families


def otlp(kind, body):
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest}[kind]()
    message.ParseFromString(body)
    # Written again it is as long: no field was there that the definitions do not know.
    again = type(message)()
    again.CopyFrom(message)
    again.DiscardUnknownFields()
    assert again.ByteSize() == message.ByteSize(), "fields that nobody knows"
    return MessageToDict(message, preserving_proto_field_name=True)


def main():
    kind, path = sys.argv[1:]
    with open(path, "rb") as file:
        body = file.read()
    print(json.dumps(openmetrics(body) if kind == "openmetrics" else otlp(kind, body)))


if __name__ == "__main__":
    main()

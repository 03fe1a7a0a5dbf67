"""Runs schemathesis against a node and tells in one line what was tried.

    door.py http://127.0.0.1:8080 SECONDS

`WAAG_KEY` and `WAAG_MAPPING_KEY` are two administrators' keys. The exit code is schemathesis's own, or 1 where it tried
less than it should.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# Checks that must have been made: a run that made none of them has shown nothing.
EXPECTED = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "ignored_auth",
}
OPERATIONS = 39
CASES_MIN = 200

MAPPINGS = "^/v1/mappings"
DELIVERIES = "^/v1/(subscriptions|delivery-jobs|patterns)"
REPORTS = "^/v1/(invoices|figures)"
# A mapping changes what invoices of its key look like, so mappings are tried with a key of their own; deliveries and figures
# have so many operations that they take a time of their own.
RUNS = [
    ("WAAG_KEY", ["--exclude-path-regex", f"{MAPPINGS}|{DELIVERIES}|{REPORTS}"]),
    ("WAAG_MAPPING_KEY", ["--include-path-regex", MAPPINGS]),
    ("WAAG_KEY", ["--include-path-regex", DELIVERIES]),
    ("WAAG_KEY", ["--include-path-regex", REPORTS]),
]


def start(address, seconds, folder, key, selection):
    environment = os.environ | {
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SCHEMATHESIS_HOOKS": "door_hooks",
        "WAAG_KEY": os.environ[key],
    }
    tool = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [tool, "--no-color", "--config-file", HERE / "schemathesis.toml", "run", f"{address}/openapi.json"]
    command += ["--max-time", seconds, "--report", "ndjson,json", "--report-dir", folder, "--warnings", "off", *selection]
    command += ["--seed", os.environ["WAAG_OUTSIDE_SEED"]]
    folder.mkdir()
    output = (folder / "output").open("w")
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT)


def told_by(folder):
    checks, statuses = collections.Counter(), collections.Counter()
    for line in next(folder.glob("ndjson*")).open():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for made in recorder.get("checks", {}).values():
            checks.update(check["name"] for check in made)
        for interaction in recorder.get("interactions", {}).values():
            response = interaction.get("response")
            statuses.update([f"{response['status_code'] // 100}xx"] if response else ["none"])
    return json.loads(next(folder.glob("json*")).read_text()), checks, statuses


def main():
    address, seconds = sys.argv[1:]
    operations, cases, findings, seeds = 0, 0, 0, []
    checks, statuses = collections.Counter(), collections.Counter()
    code = 0
    with tempfile.TemporaryDirectory() as name:
        runs = []
        for number, (key, selection) in enumerate(RUNS):
            folder = pathlib.Path(name) / str(number)
            runs.append((folder, start(address, seconds, folder, key, selection)))
        for folder, running in runs:
            ended = running.wait()
            if ended != 0:
                print((folder / "output").read_text())
                code = code or ended
            told, made, answered = told_by(folder)
            operations += told["operations"]["tested"]
            cases += told["test_cases"]["generated"]
            findings += told["test_cases"]["unique_failures"]
            seeds.append(told["seed"])
            checks += made
            statuses += answered
    print(
        f"schemathesis {told['schemathesis_version']}: {operations} operations, {cases} cases,"
        f" {sum(checks.values())} checks, {findings} findings; answers {dict(sorted(statuses.items()))}; seeds {seeds}"
    )
    print("checks: " + ", ".join(f"{name} {count}" for name, count in sorted(checks.items())))
    missing = EXPECTED - set(checks)
    if operations < OPERATIONS or cases < CASES_MIN or missing:
        print(f"too little was tried; not made: {sorted(missing)}")
        code = code or 1
    return code


sys.exit(main())

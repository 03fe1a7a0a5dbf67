"""A subscriber that pulls: it waits for events, does its work, and answers for each. Python's standard library is enough.

    WAAG_KEY=… pull_subscriber.py http://127.0.0.1:8080 SUBSCRIPTION

Each event is printed as one line. Replace `work` by your own. An event may come more than once (the process may end
between the work and its answer), always with the same position: what was done for a position is to be kept with the work,
in one transaction, and such an event is only acknowledged again. Of one key no two events are leased at a time.
"""

import decimal
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

WAIT_MS, MOST, PAUSE_S = 20_000, 20, 2


class Subscriber:
    def __init__(self, address, name, key, work):
        self.place, self.key, self.work = f"{address}/v1/subscriptions/{name}", key, work
        self.in_hand, self.stopping, self.is_waiting, self.lease_s = {}, threading.Event(), False, 1.0
        threading.Thread(target=self.extend, daemon=True).start()

    def call(self, what, body=None):
        headers = {"x-api-key": self.key, "content-type": "application/json"}
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.place}/{what}", data, headers, method="POST")
        with urllib.request.urlopen(request, timeout=WAIT_MS / 1000 + 20) as answer:
            return json.load(answer, parse_float=decimal.Decimal)

    def answer(self, *answers):
        try:
            return self.call("answer", {"answers": answers})["results"]
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            return None  # too late: it comes again, or went to somebody else

    def extend(self):
        """Work may take longer than a lease: what is in hand is extended each third of it."""
        while not self.stopping.wait(self.lease_s / 3):
            if leases := list(self.in_hand):
                try:
                    self.answer(*({"answer": "extend", "lease": lease} for lease in leases))
                except OSError as error:
                    print(f"not extended: {error}", file=sys.stderr)

    def pull(self):
        self.is_waiting = True
        try:
            return self.call(f"pull?max={MOST}&wait_ms={WAIT_MS}")["events"]
        finally:
            self.is_waiting = False

    def take(self, leased):
        lease = leased["lease"]
        try:
            self.work(leased)
        except Exception as error:
            answer = {"answer": "reject", "lease": lease, "retry_after_ms": PAUSE_S * 1000, "reason": repr(error)[:400]}
        else:
            answer = {"answer": "acknowledge", "lease": lease}
        del self.in_hand[lease]
        if self.answer(answer) is None:
            print(f"too late: {leased['position']}", file=sys.stderr)

    def stop(self, *_signal):
        self.stopping.set()
        if self.is_waiting:
            raise SystemExit(0)  # ends the wait; what was leased meanwhile comes again when its lease runs out

    def run(self):
        while not self.stopping.is_set():
            try:
                events = self.pull()
                self.in_hand = {leased["lease"]: leased for leased in events}
                self.lease_s = min((leased["lease_ms"] / 1000 for leased in events), default=1.0)
                for leased in events:
                    if not self.stopping.is_set():
                        self.take(leased)
            except OSError as error:  # refusals by the node are among these
                self.in_hand = {}
                print(f"again in {PAUSE_S} s: {error}", file=sys.stderr)
                time.sleep(PAUSE_S)


def work(leased):
    event = leased["event"]
    print(leased["position"], leased["attempt"], event.get("type"), event.get("subject"), flush=True)


if __name__ == "__main__":
    subscriber = Subscriber(*sys.argv[1:3], os.environ["WAAG_KEY"], work)
    signal.signal(signal.SIGTERM, subscriber.stop)
    subscriber.run()

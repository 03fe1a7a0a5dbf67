"""A receiver of webhooks that believes only what the Standard Webhooks project's own library verifies.

    webhook_receiver.py

`WAAG_WEBHOOK_SECRET` is its secret. The first line is its URL; each further one tells of one delivery: `verified ID N bytes
of TYPE`, answered with 204, or `refused ID: WHY`, answered with 401.
"""

import http.server
import os

from standardwebhooks import Webhook, WebhookVerificationError

VERIFIER = Webhook(os.environ["WAAG_WEBHOOK_SECRET"])


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        name = self.headers["webhook-id"]
        try:
            VERIFIER.verify(body, dict(self.headers.items()))
            print(f"verified {name} {len(body)} bytes of {self.headers['content-type']}", flush=True)
            self.answer(204, b"")
        except WebhookVerificationError as error:
            print(f"refused {name}: {error}", flush=True)
            self.answer(401, str(error).encode())

    def answer(self, status, body):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(f"http://127.0.0.1:{server.server_port}/hook", flush=True)
server.serve_forever()

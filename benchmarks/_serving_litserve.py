"""The same model behind LitServe: ``python benchmarks/_serving_litserve.py MODEL PORT``."""

import sys
from typing import Any

import litserve as ls
from fastapi import Request

import lookcloser

BATCH = 16


class Api(ls.LitAPI):
    """Its workers are processes that import this module."""

    model = ""

    def setup(self, device: str) -> None:
        self.recognizer = lookcloser.load(self.model)

    def decode_request(self, request: Request) -> bytes:
        return request["image"].file.read()

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, images: list[bytes]) -> list[Any]:
        return self.recognizer.predict(images, batch_size=BATCH, workers=2)

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, answer: Any) -> dict[str, Any]:
        return answer.to_dict()


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=0.005)
    api.model = sys.argv[1]
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    port = int(sys.argv[2])
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)

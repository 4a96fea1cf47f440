"""The same model behind a plain FastAPI handler, and offline in batches.

``python benchmarks/_serving_peers.py KIND MODEL PORT`` serves "fastapi"; "offline" reads lines of
image paths on stdin and answers each line with the seconds that it took.
"""

import json
import sys
import time
from typing import Annotated, Any

import lookcloser

BATCH = 16


def fastapi(model: str, port: int) -> None:
    import uvicorn
    from fastapi import FastAPI, File, UploadFile

    recognizer = lookcloser.load(model)
    app = FastAPI()

    @app.post("/predict")
    def predict(image: Annotated[UploadFile, File()]) -> dict[str, Any]:
        (answer,) = recognizer.predict(image.file.read())
        return answer.to_dict()

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def offline(model: str, _port: int) -> None:
    recognizer = lookcloser.load(model)
    for line in sys.stdin:
        paths = json.loads(line)
        started = time.perf_counter()
        answers = recognizer.predict(paths, batch_size=BATCH, workers=2)
        assert all(answer.error is None for answer in answers)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    kind, given, at = sys.argv[1:4]
    {"fastapi": fastapi, "offline": offline}[kind](given, int(at))

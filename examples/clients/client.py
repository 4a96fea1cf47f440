"""The answer of a server for one image: python client.py http://127.0.0.1:8000 photo.jpg"""

import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

server, path = sys.argv[1:]
headers = {"Content-Type": "application/octet-stream"}
request = Request(f"{server}/v1/predict?top=3", Path(path).read_bytes(), headers)
for label in json.load(urlopen(request))["predictions"][0]["labels"]:
    print(f"{label['name']}: {label['score']:.1%}")

#!/bin/sh
# Answers of a server for some images: curl.sh http://127.0.0.1:8000 a.jpg b.jpg
server=$1 && shift
for image in "$@"; do set -- "$@" -F "image=@$image" && shift; done
curl --silent --show-error --fail-with-body "$@" "$server/v1/predict?heatmaps=none"

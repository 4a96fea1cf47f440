"""Counters: in a format that Prometheus reads, and without the words of clients."""

from prometheus_client.parser import text_string_to_metric_families

from lookcloser.serve.metrics import Metrics

PNG = {"content-type": "image/png"}


def read(text):
    """Samples by name and labels, as Prometheus itself reads them."""
    families = list(text_string_to_metric_families(text))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_server_counts_for_itself():
    one, other = Metrics(), Metrics()
    one.requests.labels("/healthz", "200").inc()
    assert b'route="/healthz"' in one.text()
    assert b'route="/healthz"' not in other.text()


def test_requests_are_counted_by_route_and_status(serve, files, drawing):
    client = serve(files.onnx)
    for _ in range(2):
        assert client.post("/v1/predict", content=drawing.file(), headers=PNG).status_code == 200
    client.post("/v1/predict", content=b"x", headers=PNG)
    client.get("/v1/predict")
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = read(answer.text)

    def requests(route, status):
        return found["lookcloser_requests_total", ("route", route), ("status", status)]

    assert requests("/v1/predict", "200") == 2
    assert requests("/v1/predict", "422") == 1
    assert requests("/v1/predict", "405") == 1
    assert found["lookcloser_request_seconds_count", ("route", "/v1/predict")] == 4
    model = ("model", "insects")
    assert found["lookcloser_images_total", model, ("outcome", "answered")] == 2
    assert found["lookcloser_images_total", model, ("outcome", "unreadable")] == 1
    assert found["lookcloser_images_total", model, ("outcome", "failed")] == 0
    assert found["lookcloser_batch_images_count", model] == 2
    assert found["lookcloser_waiting_images", model] == 0
    assert found["lookcloser_held_bytes",] == 0


def test_no_client_adds_a_name(serve, files, drawing):
    client = serve(files.onnx)
    client.get("/metrics")
    before = read(client.get("/metrics").text).keys()
    for word in ("wanted", "unseen", "<b>"):
        client.get(f"/{word}")
        client.get(f"/v1/models/{word}?{word}={word}", headers={"user-agent": word, "host": word})
        client.post("/v1/predict", files=[("image", (f"{word}.png", drawing.file(), "image/png"))])
        client.post(f"/v1/predict?model={word}", content=b"x", headers=PNG)
    text = client.get("/metrics").text
    assert not any(word in text for word in ("wanted", "unseen", "<b>", "ant", ".png"))
    new = {dict(labels[1:]).get("route") for labels in read(text).keys() - before}
    assert new <= {"other", "/v1/predict", "/v1/models"}

"""The names of what lies in a run folder."""

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.yaml"
HISTORY_FILE = "metrics.csv"
CHECKPOINT_FILE = "last.ckpt"
REPORT_FILE = "report.html"
AUDIT_FILE = "audit.html"
DATA_FILE = "data.json"
FINE_TUNED_FOLDER = "fine-tune"  # of a run that tries both recipes
WHOLE_FOLDER = "fine-tune-all"  # the same again with the images of val

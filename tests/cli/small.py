"""Settings that make a training of a second or less."""

SETTINGS = ("domain.size=16", "model.filters=[4,4,8]", "model.dense=8")
SMALL = ("--model", "reference-cnn", "--epochs", "1", "--workers", "0", *(f"-o{each}" for each in SETTINGS))

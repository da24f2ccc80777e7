"""temporary"""


def prepare(threads=None):
    return {}


def training_precision(device, asked="auto"):
    return "fp32"


def pick_device(asked="auto"):
    return "cpu"

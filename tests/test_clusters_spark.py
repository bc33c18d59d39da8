"""A network in `predict_batch_udf`: the page's code runs in test_docs.py; here, its packings."""

import collections
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.clusters, pytest.mark.any_isa]

PROGRAM = """
import os, pickle, sys
import numpy as np
import elman
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", False).getOrCreate()
net = elman.Network(3, 8, 2, seed=0)
x = np.random.default_rng(0).standard_normal((400, 10, 3)).astype(np.float32)
lengths = np.arange(400) % 11
rows = [(i, s.ravel().tolist(), int(n)) for i, (s, n) in enumerate(zip(x, lengths))]
table = spark.createDataFrame(rows, "id long, x array<float>, steps int").repartition(8)
model, folder = pickle.dumps(net), os.getcwd()

def note(name):
    with open(f"{folder}/{name}", "a") as file:
        file.write(f"{os.getpid()}\\n")

def make_predict():
    net = pickle.loads(model)
    note("made")
    def predict(x, lengths):
        note("called")
        return net.run(x, lengths=lengths, outputs="last").output
    return predict

predict = predict_batch_udf(
    make_predict,
    return_type=ArrayType(FloatType()),
    batch_size=10,
    input_tensor_shapes=[[10, 3], []],
)
found = table.withColumn("output", predict("x", "steps")).collect()
want = net.run(x, lengths=lengths, outputs="last").output
assert len(found) == 400
assert all(np.float32(row["output"]).tobytes() == want[row["id"]].tobytes() for row in found)
spark.stop()
"""


def test_a_worker_packs_a_network_once_for_all_its_tasks(tmp_path):
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
    (tmp_path / "program.py").write_text(PROGRAM)
    run = [sys.executable, "program.py"]
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    made = collections.Counter((tmp_path / "made").read_text().split())
    called = collections.Counter((tmp_path / "called").read_text().split())
    assert set(made.values()) == {1}
    assert called.total() == 40
    assert len(called) < 8  # workers had several of the eight tasks

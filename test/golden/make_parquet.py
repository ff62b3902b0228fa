"""Writes the Parquet files and MATLAB lists in test/golden/parquet and test/golden/flowers.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install pyarrow==26.0.1 numpy pillow scipy==1.17.1
    /tmp/venv/bin/python test/golden/make_parquet.py

Image i is a PNG of 6 x 5 pixels (width x height) that all are [20 i mod 256, 7 i mod 256, 3].
"""

import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "parquet")
NAMES = ["airplane", "automobile", "bird"]


def png(i):
    out = io.BytesIO()
    Image.new("RGB", (6, 5), (20 * i % 256, 7 * i % 256, 3)).save(out, "PNG")
    return out.getvalue()


def write(path, first, count, *, labels="int", image="struct", hf=True, name="label", **options):
    """Rows `first` to `first + count - 1`; the class of image i is i mod 3."""
    rows = range(first, first + count)
    if image == "struct":
        images = pa.array(
            [{"bytes": png(i), "path": f"{i}.png"} for i in rows], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        )
    else:
        images = pa.array([png(i) for i in rows], pa.binary())
    if labels == "int":
        classes = pa.array([i % 3 for i in rows], pa.int64())
    elif labels == "secret":
        classes = pa.array([-1 for _ in rows], pa.int64())
    elif labels == "bool":
        classes = pa.array([i % 2 == 1 for i in rows], pa.bool_())
    else:
        classes = pa.array([NAMES[i % 3] for i in rows], pa.string())
    columns = {"image": images, name: classes}
    if name == "fine_label":
        columns["coarse_label"] = pa.array([i % 2 for i in rows], pa.int64())
    table = pa.table(columns)
    if hf:
        features = {"image": {"_type": "Image"}, name: {"names": NAMES, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path = os.path.join(OUT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(table, path, **options)


write("cifar/plain_text/train-00000-of-00002.parquet", 0, 7, row_group_size=3)
write("cifar/plain_text/train-00001-of-00002.parquet", 7, 5)
write("cifar/plain_text/test-00000-of-00001.parquet", 12, 3)
write("none.parquet", 0, 9, compression="none", use_dictionary=False, data_page_size=64)
write("gzip.parquet", 0, 9, compression="gzip", labels="text", hf=False)
write("brotli.parquet", 0, 9, compression="brotli", image="plain", hf=False)
write("zstd.parquet", 0, 9, compression="zstd")
write("lz4.parquet", 0, 9, compression="lz4")
write("v2.parquet", 0, 9, data_page_version="2.0", labels="text", hf=False)
write(
    "delta.parquet",
    0,
    9,
    data_page_version="2.0",
    use_dictionary=False,
    hf=False,
    column_encoding={"image.bytes": "DELTA_LENGTH_BYTE_ARRAY", "image.path": "DELTA_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"},
)
write("deltatext.parquet", 0, 9, use_dictionary=False, hf=False, labels="text", column_encoding={"label": "DELTA_BYTE_ARRAY"})
write("bool.parquet", 0, 9, labels="bool", hf=False)
write("fine.parquet", 0, 9, name="fine_label", hf=False)
write("secret/train.parquet", 0, 9)
write("secret/test.parquet", 9, 2, labels="secret")

FLOWERS = os.path.join(HERE, "flowers")
os.makedirs(FLOWERS, exist_ok=True)
# Six images, three classes numbered from 1, as in Oxford's lists.
scipy.io.savemat(os.path.join(FLOWERS, "imagelabels.mat"), {"labels": np.array([[3, 1, 2, 1, 2, 3]], np.uint8)}, do_compression=True)
scipy.io.savemat(
    os.path.join(FLOWERS, "setid.mat"),
    {
        "trnid": np.array([[1, 2, 3]], np.uint16),
        "valid": np.array([[4]], np.uint16),
        "tstid": np.array([[5, 6]], np.uint16),
        "note": "a text, which is passed over",
    },
)

"""Writes the files of test/golden/pickles: what PyTorch and Python's pickle write, small.

    python test/golden/make_pickles.py        (written with torch 2.15.0, numpy 2; any recent ones do)
"""
import argparse, collections, json, os, pickle, struct
import numpy as np
import torch

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'pickles')
os.makedirs(folder, exist_ok=True)
at = lambda name: os.path.join(folder, name)

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 2))
table = collections.OrderedDict((name, value.clone()) for name, value in model.state_dict().items())
table['view'] = torch.arange(24.0).reshape(4, 6).t()[1:4, ::2]
table['half'] = torch.randn(3).half()
table['bfloat16'] = torch.randn(3).bfloat16()
table['double'] = torch.randn(3).double()
table['flags'] = torch.tensor([True, False])
table['int8'] = torch.tensor([-3, 4], dtype=torch.int8)
table['int16'] = torch.tensor([-300, 4], dtype=torch.int16)
table['int32'] = torch.tensor([-70000, 4], dtype=torch.int32)
table['scalar'] = torch.tensor(7)
table['empty'] = torch.zeros(0, 3)
table['parameter'] = torch.nn.Parameter(torch.ones(2))
torch.save(table, at('table.pth'))
torch.save(table, at('table-legacy.pth'), _use_new_zipfile_serialization=False)
with open(at('table.json'), 'w') as file:
    json.dump({name: [list(value.shape), value.detach().float().flatten().tolist()] for name, value in table.items()}, file)

optimizer = torch.optim.AdamW(model.parameters())
model(torch.randn(2, 3, 6, 4)).sum().backward()
optimizer.step()
wrapped = {'module.' + name: value for name, value in model.state_dict().items()}
torch.save({'epoch': 3, 'state_dict': wrapped, 'optimizer': optimizer.state_dict(), 'args': argparse.Namespace(lr=0.1), 'best': np.float64(0.5)},
           at('checkpoint.pth'))
torch.save(model, at('whole-model.pth'))
torch.save([1, 2], at('list.pth'))
torch.save({'first': {'a': torch.ones(1)}, 'second': {'b': torch.ones(1)}}, at('two-tables.pth'))

values = [1, 2, 300, 70000, 2**40, -5, 2**70, True, False, None, 1.5, float('-inf'), 'h\u00e9llo \u20ac\n\\', b'\x00\xff', (1,), (1, 2), (1, 2, 3),
          (1, 2, 3, 4), {1, 2}, collections.OrderedDict(a=1)]
arrays = {'big': np.arange(6, dtype='>i4').reshape(2, 3), 'fortran': np.asfortranarray(np.arange(6.0).reshape(2, 3)), 'scalar': np.float32(2.5),
          'half': np.array([0.5, -2], 'f2'), 'bool': np.array([True, False])}
for protocol in range(6):
    with open(at(f'values-{protocol}.pkl'), 'wb') as file:
        pickle.dump({b'values': values, 'arrays': arrays, 'self': values}, file, protocol=protocol)

# CIFAR's Python version was written by Python 2, whose `str` are bytes: keys, names and pixels alike.


class Python2(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)

    def save_str2(self, value):
        data = value if isinstance(value, bytes) else value.encode('latin1')
        self.write((b'U' + bytes([len(data)]) if len(data) < 256 else b'T' + struct.pack('<i', len(data))) + data)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_str2


def pixels(first, count):
    r, k = np.arange(first, first + count)[:, None], np.arange(3072)[None]
    return ((r * 101 + k * 7 + (k >> 8) * 13) & 0xFF).astype(np.uint8)  # planarByte of test/support/cifar10-records.ts


for name, labels, names, files in [
    ('cifar-10-batches-py', 'labels', 10, {'data_batch_1': (0, 3), 'data_batch_2': (3, 2), 'test_batch': (7, 2)}),
    ('cifar-100-python', 'fine_labels', 100, {'train': (0, 3), 'test': (7, 2)}),
]:
    os.makedirs(at(name), exist_ok=True)
    for file, (first, count) in files.items():
        with open(os.path.join(at(name), file), 'wb') as out:
            batch = {'batch_label': file, labels: [(first + i) % names for i in range(count)], 'data': pixels(first, count), 'filenames': ['x.png'] * count}
            if names == 100:
                batch['coarse_labels'] = [(first + i) % 4 for i in range(count)]
            Python2(out, 2).dump(batch)
    with open(os.path.join(at(name), 'meta' if names == 100 else 'batches.meta'), 'wb') as out:
        known = {labels.replace('labels', 'label_names'): [f'name {i}' for i in range(names)]}
        if names == 100:
            known['coarse_label_names'] = [f'coarse {i}' for i in range(20)]
        Python2(out, 2).dump(known)

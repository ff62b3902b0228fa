"""Writes the files of test/golden/pickles: what PyTorch and Python's pickle write, small.

    python test/golden/make_pickles.py        (written with torch 2.15.0, numpy 2; any recent ones do)
"""
import argparse, collections, json, os, pickle
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

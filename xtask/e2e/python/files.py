"""The Python package `modflow-devtools`, asked for what its own command cannot do in one go.

copy FOLDER        copies every model that is synced, each into a folder of its own
compare OURS THEIRS    fails unless two registry files list the same
"""

import sys
from pathlib import Path

import tomli


def copy(folder):
    from modflow_devtools import models

    names = models.get_models()
    for name in names:
        copied = models.copy_to(Path(folder) / name.replace("/", "__"), name)
        assert copied is not None, name
    print(len(names))


def compare(ours, theirs):
    from modflow_devtools.models import ModelRegistry

    # Both pass the package's own check of the format.
    ours, theirs = (tomli.loads(Path(file).read_text()) for file in (ours, theirs))
    for registry in (ours, theirs):
        ModelRegistry(**registry)
    assert ours["schema_version"] == theirs["schema_version"]
    assert list(ours["examples"]) == list(theirs["examples"])
    for name, models in ours["examples"].items():
        # Flow comes before transport in both; of the rest, theirs are in no order.
        assert sorted(models) == sorted(theirs["examples"][name]), name
        flows = [["gwf" in model for model in each] for each in (models, theirs["examples"][name])]
        assert flows[0] == flows[1], name
    assert list(ours["models"]) == list(theirs["models"]), set(ours["models"]) ^ set(theirs["models"])
    for name, files in ours["models"].items():
        # Theirs are in the order in which the file system gives them.
        assert sorted(files) == sorted(theirs["models"][name]), name
    assert list(ours["files"]) == list(theirs["files"]), set(ours["files"]) ^ set(theirs["files"])
    for key, file in ours["files"].items():
        assert file["url"] == theirs["files"][key]["url"], key
        # Of files in an archive they have none.
        if "hash" in theirs["files"][key]:
            assert file["hash"] == theirs["files"][key]["hash"], key
        else:
            assert "digest" in file or key.endswith(".zip"), key
    print(len(ours["files"]))


if __name__ == "__main__":
    {"copy": copy, "compare": compare}[sys.argv[1]](*sys.argv[2:])

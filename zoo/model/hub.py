"""Models on the Hugging Face hub: one commit is downloaded, and nothing of it but data is read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from zoo.encoders.checkpoint import Need, one_line
from zoo.encoders.hub import fetch_file, files_of
from zoo.errors import ConfigError
from zoo.model.description import LEARNT, SHARED, WEIGHTS, read_description
from zoo.model.load import Loaded, refuse_files
from zoo.model.share import save

MODEL = Need(SHARED, (WEIGHTS,), (LEARNT,), (LEARNT,))


def download(name: str, revision: str | None = None) -> Path:
    """The folder of a model of the hub in its cache, complete.

    Only the files that its description lists are downloaded.

    Raises:
        ConfigError: no such model or revision, no access, or the hub can't be reached.
        DataError: it is no model of zoo, or holds code.
    """
    commit, names = files_of(name, MODEL, revision)
    refuse_files(f"model {name}", names)
    folder = fetch_file(name, SHARED, commit).parent
    found = read_description(folder / SHARED)
    for file in found.files:
        if ".." in Path(file).parts or Path(file).is_absolute():
            raise ConfigError(f"model `{name}`: its {SHARED} lists `{file}`, outside of its folder")
        fetch_file(name, file, commit)
    return folder


def upload(
    loaded: Loaded,
    name: str,
    whole: bool,
    private: bool | None,
    token: str | None,
    message: str,
) -> str:
    """See :meth:`zoo.model.model.Model.push_to_hub`."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    with tempfile.TemporaryDirectory() as temporary:
        folder = save(loaded, Path(temporary) / "model", whole)
        api = HfApi(token=token)
        try:
            api.create_repo(name, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        except (OSError, ValueError, httpx.HTTPError, HFValidationError) as error:
            raise ConfigError(f"model `{name}`: can't be uploaded: {_why(error)}") from error
    return str(commit.commit_url)


def _why(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return (
            f"the hub refuses access ({status}); log in with `hf auth login`, or give a token that "
            "may write"
        )
    return one_line(error)

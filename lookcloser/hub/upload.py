"""A folder with a model and its card, sent to the hub."""

from __future__ import annotations

from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.hub.client import LOGIN, make_client, translated
from lookcloser.version import __version__


def upload(folder: Path, repository: str, *, private: bool) -> str:
    """Send every file of ``folder`` in one commit; the repository is made where it is not there.

    The token is the one the hub's client finds: HF_TOKEN, or that of `hf auth login`.

    Args:
        folder: What to send.
        repository: "OWNER/NAME".
        private: Whether nobody else shall see it. One that is public already is refused.

    Returns:
        The address of the commit.

    Raises:
        LookcloserError: Without a token, without the right to write, without a network.
    """
    from huggingface_hub import get_token

    api = make_client()
    if get_token() is None:
        raise LookcloserError(f"{repository}: not logged in on the hub", fix=LOGIN)
    with translated(repository):
        api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise LookcloserError(
                f"{repository}: is public, and would stay so",
                fix="Make it private on its page first, or give another name",
            )
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"Upload with lookcloser {__version__}",
        )
    return str(commit.commit_url)

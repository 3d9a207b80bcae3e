"""A model goes to the Hugging Face hub, where `from_huggingface` and transformers find it."""

import tempfile

from ..errors import KzooError
from .huggingface import to_huggingface
from .source import HUB_ID


def to_hub(model, repository, private=None, token=None):
    """Write a model as `to_huggingface` does, and upload it; return the address of its page.

    The repository is made if it isn't there; files of it that the model hasn't stay.

    Args:
        model: see `to_huggingface`.
        repository: such as "user/name".
        private: whether a new repository is; None for what the account has as default.
        token: of an account that may write there; by default that of `hf auth login` or HF_TOKEN.

    Raises:
        KzooError: when the model can't be written, or the hub doesn't take it.
    """
    if not HUB_ID.fullmatch(str(repository)):
        raise KzooError(
            f"Got the repository {repository!r:.60}; expected an owner and a name, such as "
            '"user/name".'
        )
    import huggingface_hub

    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/model"
        to_huggingface(model, folder)
        api = huggingface_hub.HfApi(token=token)
        try:
            page = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="kzoo")
        # The client lets through what its HTTP library raises, which differs between versions.
        except Exception as error:
            reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
            raise KzooError(
                f"{repository} could not be written on the hub ({reason}): check the name and the "
                "connection, and log in with `hf auth login`, or give token=, with the right to "
                "write."
            ) from None
    return str(page)

"""A trained model, ready to predict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError
from zoo.model.description import Description
from zoo.model.inputs import Post, as_fields, of_text, picture_of
from zoo.model.load import Loaded, load_folder
from zoo.model.predictor import Predictor
from zoo.model.results import Prediction, predicted
from zoo.types import Picture, Sample

Words = str | Sequence[str]
"""A sentence: running text, which is cut into words, or the words themselves."""


class Model:
    """A trained system with its weights.

    What it predicts of a sentence depends on the sentence, its picture and the machine alone, not
    on what is predicted beside it (see :mod:`zoo.model.predictor`).
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        found = loaded.description
        self._predictor = Predictor(loaded.system, found.precision, found.threads)

    @classmethod
    def from_folder(cls, folder: str | Path, *, allow_changed: bool = False) -> Model:
        """A model from the folder of a run, or from one that was saved.

        Raises:
            ConfigError, DataError: see :func:`zoo.model.load.load_folder`.
        """
        return cls(load_folder(Path(folder), allow_changed))

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        allow_changed: bool = False,
    ) -> Model:
        """A model from a folder, or by its name on the Hugging Face hub.

        No code of the model's own is ever run: parts come from this installation and its plug-ins.

        Args:
            revision: of a model on the hub: a commit, branch or tag.
            allow_changed: load it although the code of its parts is not that which it was trained
                by, so that it may give other results.

        Raises:
            ConfigError: it can't be had, a part that it needs is not installed, or the code of one
                is another.
            DataError: a file of it is missing or damaged, or it asks for code of its own.
        """
        from zoo.model.hub import download

        folder = Path(name)
        if folder.is_dir():
            if revision is not None:
                raise ConfigError(f"{folder} is a folder, which has no revisions")
        else:
            folder = download(str(name), revision)
        return cls.from_folder(folder, allow_changed=allow_changed)

    # Predicting ----------------------------------------------------------------------------------

    def predict(
        self,
        sentence: Words,
        *,
        picture: str | Path | Picture | None = None,
        caption: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Prediction:
        """The entities of one sentence.

        Args:
            sentence: text, which is cut into words (:func:`zoo.data.text.split_words`), or words.
            picture: the file of the picture posted with it.
            caption: a caption of the picture, where the model reads captions.
            extra: further texts by the names that the model knows them by.

        Raises:
            DataError: there is no such picture, or it can't be decoded.
        """
        fields: dict[str, Any] = {"caption": caption, "extra": dict(extra or {})}
        if picture is not None:
            given = picture if isinstance(picture, Picture) else picture_of(picture)
            fields["picture"] = given
        return next(self.predict_posts([make_post(sentence, "1", **fields)]))

    def predict_all(
        self, sentences: Iterable[Words | Sample], *, picture_folder: str | Path | None = None
    ) -> Iterator[Prediction]:
        """The entities of many sentences, in their order and in constant memory.

        Args:
            sentences: texts, lists of words, or samples, as :func:`zoo.read` gives them.
            picture_folder: where the picture of a text or list of words is looked for, by its
                number: ``1.jpg`` for the first.

        Raises:
            ConfigError: one sentence is given in place of several, or there is no such folder.
        """
        from zoo.data.pictures import PictureFolder

        if isinstance(sentences, str | Sample):
            raise ConfigError("predict_all takes a list of sentences; give one to predict, or [it]")
        if picture_folder is not None and not Path(picture_folder).is_dir():
            raise ConfigError(f"picture_folder {picture_folder}: no such folder")
        folder = PictureFolder(Path(picture_folder)) if picture_folder is not None else None

        def posts() -> Iterator[Post]:
            for number, each in enumerate(sentences, 1):
                if isinstance(each, Sample):
                    yield Post(each)
                else:
                    found = folder.all(str(number), "picture_folder") if folder else []
                    yield make_post(each, str(number), **as_fields(found))

        return self.predict_posts(posts())

    def predict_posts(self, posts: Iterable[Post]) -> Iterator[Prediction]:
        """The predictions of posts, in their order; see :mod:`zoo.model.inputs`."""
        waiting: dict[int, Post] = {}  # by the sample, which the predictor hands back

        def samples() -> Iterator[Sample]:
            for post in posts:
                sample = replace(post.sample)  # of its own: the same may be given twice
                waiting[id(sample)] = post
                yield sample

        for sample, entities in self._predictor(samples()):
            yield predicted(waiting.pop(id(sample)), entities)

    # What it is ----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The system's name in the registry that it was trained from."""
        return self.description.name

    @property
    def types(self) -> list[str]:
        """The entity types, sorted."""
        return list(self.description.types)

    @property
    def sees(self) -> list[str]:
        """What it reads of a post: ``words``, ``picture``, ``caption``, names of further texts."""
        return list(self.description.sees)

    @property
    def description(self) -> Description:
        """All that is stored of it beside its weights."""
        return self._loaded.description

    def __repr__(self) -> str:
        return f"<zoo model {self.name}, types {', '.join(self.types)}>"

    # Sharing -------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path, *, whole: bool = False) -> Path:
        """Write the model into a folder as it is shared: weights, description, model card.

        Args:
            whole: with copies of the models it refers to, so that it needs no hub.

        Raises:
            ConfigError: the folder holds other files.
        """
        from zoo.model.share import save

        return save(self._loaded, Path(folder), whole)

    def push_to_hub(
        self,
        name: str,
        *,
        whole: bool = False,
        private: bool | None = None,
        token: str | None = None,
        message: str = "Upload model",
    ) -> str:
        """Upload the model to the Hugging Face hub.

        Args:
            name: of the repository, ``user/name``; it is made if it does not exist.
            whole: see :meth:`save_pretrained`.
            private: whether a repository that is made is private.
            token: else the one that ``hf auth login`` stored.

        Returns:
            The address of the commit.

        Raises:
            ConfigError: the hub refuses it, or can't be reached.
        """
        from zoo.model.hub import upload

        return upload(self._loaded, name, whole, private, token, message)


def make_post(sentence: Words, id: str, **fields: Any) -> Post:
    """A post from text or words. Raises ConfigError for anything else, and for empty words."""
    if isinstance(sentence, str):
        return of_text(sentence, id, **fields)
    words = tuple(sentence)
    if not all(isinstance(word, str) and word for word in words):
        raise ConfigError("a sentence is text, or a list of words of which none is empty")
    return Post(replace(Sample(id, words), **fields))

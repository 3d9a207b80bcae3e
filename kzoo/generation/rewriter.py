"""A text of a text over a step function: how a model in Keras and a bundle write of sources."""

from ..errors import KzooError
from ..text.languages import check_asked, check_language, codes, in_language
from ..text.tokenizer import check_not_empty
from ..values import is_whole
from .options import DRAWN
from .writer import Writer, check_has_tokenizer, check_names

CALLED = ("target_language",)  # what a call may say beside the options of `Generation`


def rewriting_options(tokenizer, start_id, source_length, generation, source, target):
    """How a task writes of sources, as JSON types: what `Rewriter` and other clients read.

    The code of a language stands where the tokenizer puts it: behind a source it is what the
    decoder is given first (mBART, `starts_with_code`), before a source what is written first
    (mBART-50).

    Args:
        tokenizer: the task's, or None.
        start_id: the token that the decoder is given first.
        source_length: tokens of a source at most.
        generation: options of `Generation` by name, as a call has them that says nothing else.
        source, target: the codes of the languages, or None.
    """
    languages = {} if tokenizer is None else codes(tokenizer)
    before = () if tokenizer is None else tokenizer.frame()[0][0]
    return {
        "start_id": start_id,
        "source_length": source_length,
        "generation": {k: list(v) if isinstance(v, tuple) else v for k, v in generation.items()},
        "languages": languages,
        "source_language": source,
        "target_language": target,
        "starts_with_code": bool(languages) and not set(before) & set(languages.values()),
    }


class Rewriter(Writer):
    """What writes of sources.

    Args:
        step: the network; its `reading` gives the step function of sources, see
            `runner.CachedModel`.
        tokenizer: the `Tokenizer` of what is written, or None where token ids alone are.
        max_length: places that the decoder has.
        vocabulary_size: ids lie below it.
        options: what `rewriting_options` gives.
        source_tokenizer: that of what is read.
    """

    def __init__(self, step, tokenizer, max_length, vocabulary_size, options, source_tokenizer):
        super().__init__(step, tokenizer, max_length)
        self.source_tokenizer = source_tokenizer
        self.vocabulary_size = vocabulary_size
        self.options = options

    def prompt_ids(self, sources, max_length=None):
        """See `source_ids`."""
        language = self.options["source_language"]
        return source_ids(self.source_tokenizer, sources, language, max_length)

    def generate(self, sources, batch_size=None, target_language=None, **options):
        """Write of sources, lists of token ids; as `Writer.generate`.

        Args:
            target_language: the code of a language in place of the task's own.
        """
        sources = list(sources)
        names = [f"source {n}" for n in range(len(sources))] if len(sources) > 1 else ["the source"]
        sources = [self._checked(*pair) for pair in zip(names, sources, strict=False)]
        if not sources:
            raise KzooError("Got no source; expected one at least.")
        start, options = self._begun(target_language, options)
        return super().generate([[start]] * len(sources), batch_size, sources, **options)

    def stream(self, source, target_language=None, **options):
        """Write of one source; an iterator of pieces of text."""
        start, options = self._begun(target_language, {"num_beams": 1, **options})
        return super().stream([start], self._checked("the source", source), **options)

    def _begun(self, language, options):
        """The decoder's first token, and the options of a call beside the usual ones."""
        check_names(options, CALLED)
        start, forced = beginning(self.options, language)
        usual = dict(self.options["generation"])
        # What a call says isn't refused for what the task has beside it.
        if any(options.get(name) is not None for name in DRAWN):
            usual.pop("num_beams", None)
        if options.get("num_beams", 2) == 1:
            usual.pop("num_return_sequences", None)
        if "max_new_tokens" in usual:
            usual["max_new_tokens"] = min(usual["max_new_tokens"], self.max_length)
        most = options.get("max_new_tokens", usual.get("max_new_tokens", self.max_length))
        if is_whole(most, 1):
            usual["min_new_tokens"] = min(usual.get("min_new_tokens", 0), most)
        forced = {"forced_token_ids": forced} if forced else {}
        return start, {**usual, **forced, **options}

    def _checked(self, name, source):
        """A source as a list of ids, or an error that names it."""
        ids = source.tolist() if hasattr(source, "tolist") else source
        size, most = self.vocabulary_size, self.options["source_length"]
        if not isinstance(ids, (list, tuple)) or not all(is_whole(i, 0, size - 1) for i in ids):
            raise KzooError(
                f"Got {source!r:.40} as {name}; expected a list of token ids, whole "
                f"numbers from 0 to {size - 1}."
            )
        if not 0 < len(ids) <= most:
            raise KzooError(
                f"Got {len(ids)} tokens in {name}; expected 1 to {most}, the places that "
                f"the encoder has{': shorten it' if ids else ''}."
            )
        return [int(each) for each in ids]


class Describer(Rewriter):
    """What writes of pictures; sources are arrays as the image processor gives them.

    Args:
        step, tokenizer, max_length, vocabulary_size, options: as for `Rewriter`.
        image_processor: the `ImageProcessor` of what is read.
    """

    def __init__(self, step, tokenizer, max_length, vocabulary_size, options, image_processor):
        super().__init__(step, tokenizer, max_length, vocabulary_size, options, None)
        self.image_processor = image_processor

    def prompt_ids(self, pictures, max_length=None):
        """Pictures as arrays of the network's size, uint8; nothing is cut of them."""
        named = enumerate(pictures)
        return [self.image_processor.resized(each, f"Picture {n}") for n, each in named]

    def generate(self, sources, batch_size=None, prompt=None, **options):
        """Write of arrays; as `Rewriter.generate`.

        Args:
            prompt: a text that all that is written begins with.
        """
        return super().generate(sources, batch_size, **self._behind(prompt, options))

    def stream(self, source, prompt=None, **options):
        """Write of one array; an iterator of pieces of text."""
        return super().stream(source, **self._behind(prompt, options))

    def _behind(self, prompt, options):
        """The options by which what is written begins with a text."""
        if prompt is None:
            return options
        if "forced_token_ids" in options:
            raise KzooError(
                "Got prompt= and forced_token_ids= for a caption; expected one of them."
            )
        if not isinstance(prompt, str):
            raise KzooError(f"Got prompt={prompt!r:.40} for a caption; expected one text.")
        check_has_tokenizer(self.tokenizer)
        (ids,) = self.tokenizer.bare_ids([prompt])
        check_not_empty([len(ids)])
        return {**options, "forced_token_ids": tuple(ids)}

    def _checked(self, name, source):
        """An array of a picture, or an error that names it."""
        shape, dtype = getattr(source, "shape", None), str(getattr(source, "dtype", None))
        if shape != self.image_processor.shape or dtype != "uint8":
            expected = " x ".join(map(str, self.image_processor.shape))
            raise KzooError(
                f"Got {type(source).__name__} of the shape {shape} and the type {dtype} as {name}; "
                f"expected a picture of {expected} numbers, uint8, as prompt_ids gives it."
            )
        return source


class Questioner(Describer):
    """What answers questions about pictures; sources are pairs of an array and token ids.

    Args:
        step, tokenizer, max_length, vocabulary_size, options, image_processor: as for `Describer`.
    """

    def prompt_ids(self, pairs, max_length=None):
        """(picture, question) as (array, token ids); questions are cut where a length is given."""
        pictures, questions = zip(*pairs, strict=True)
        ids = source_ids(self.tokenizer, list(questions), None, max_length)
        return list(zip(super().prompt_ids(pictures), ids, strict=True))

    def _checked(self, name, source):
        """An array of a picture and the ids of a question, or an error that names what is none."""
        if not isinstance(source, tuple) or len(source) != 2:
            raise KzooError(
                f"Got {source!r:.40} as {name}; expected a picture and a question, as prompt_ids "
                "gives them."
            )
        picture, question = source
        name = name.removeprefix("the ").removeprefix("source").strip()
        ids = Rewriter._checked(self, f"the question {name}".strip(), question)
        return super()._checked(f"the picture {name}".strip(), picture), ids


def check_numbered_alike(source, target):
    """Raise KzooError unless two tokenizers have the same tokens with the same ids."""
    if source.vocabulary != target.vocabulary:
        raise KzooError(
            "The tokenizers of what is read and of what is written don't number their tokens "
            "alike: give the two of one model."
        )


def source_ids(tokenizer, sources, language=None, max_length=None):
    """Texts as lists of token ids, in their language, cut where a length is given.

    Raises:
        KzooError: for a text without a token, one that asks for a language without one, and
            without a tokenizer.
    """
    check_has_tokenizer(tokenizer)
    check_not_empty([len(ids) for ids in tokenizer.bare_ids(sources)])
    check_asked(tokenizer, sources)
    rows = tokenizer.encode(sources, max_length=max_length)["token_ids"]
    return [in_language(tokenizer, list(row), language) for row in rows]


def beginning(options, language=None):
    """What the decoder is given first, and the tokens that what it writes begins with.

    Args:
        options: what `rewriting_options` gives.
        language: a code in place of the options' `target_language`.

    Raises:
        KzooError: for a language that the tokenizer has no token for.
    """
    language = options["target_language"] if language is None else language
    if language is None:
        return options["start_id"], ()
    number = check_language(language, options["languages"])
    return (number, ()) if options["starts_with_code"] else (options["start_id"], (number,))

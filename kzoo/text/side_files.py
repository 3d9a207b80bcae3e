"""The files beside a tokenizer, as transformers reads them.

A folder of transformers holds more than a vocabulary: `tokenizer_config.json` names a class and
its settings, `special_tokens_map.json` and `added_tokens.json` name tokens, and `config.json` the
model, whose kind decides the class where nothing else does. What they say goes into the backend
itself (normalizer, pre-tokenizer, post-processor, added tokens), so that a `tokenizer.json` that
is written from it says everything alone.

The rules are those of transformers 5, where most classes build their tokenizers anew from the
vocabulary and the settings, whatever else a `tokenizer.json` holds. kzoo builds those of `RECIPES`.
Of those in `ANEW`, which it doesn't build, it refuses the ones of WordPiece, whose settings change
a text, and those of `REFUSED`, which put other tokens round it; for the rest it takes the
`tokenizer.json` and says so. A class beside a `tokenizer.json` of another kind of model is refused.
Any other class, such as PreTrainedTokenizerFast, takes the `tokenizer.json` as it is.
"""

import base64
import dataclasses
import json
import warnings
from functools import cached_property

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from ..errors import KzooError
from ..files import read_json
from ..values import is_number, is_whole
from . import sentencepiece

CONFIG, SPECIAL, ADDED, MODEL = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)
NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
SWITCHES = (
    "add_prefix_space",
    "do_lower_case",
    "keep_accents",
    "split_by_punct",
    "split_special_tokens",
    "strip_accents",
    "tokenize_chinese_chars",
    "trim_offsets",
)
SIDES = ("left", "right")
LONGEST = 10**6  # what is longer says that nobody knows: transformers writes 1e30
LISTED = "added_tokens_decoder"
FLAGS = ("lstrip", "rstrip", "normalized", "single_word", "special")

# Classes that work in Python, by rules of their own that no tokenizer.json holds.
PYTHON_ONLY = """
    BertJapaneseTokenizer BertTokenizerLegacy BertweetTokenizer BioGptTokenizer
    BlenderbotSmallTokenizer ByT5Tokenizer CTRLTokenizer CanineTokenizer ClvpTokenizer
    CpmAntTokenizer DiaTokenizer EsmTokenizer FSMTTokenizer FlaubertTokenizer
    GPTNeoXJapaneseTokenizer MgpstrTokenizer MyT5Tokenizer PerceiverTokenizer PhobertTokenizer
    ProphetNetTokenizer RoCBertTokenizer TapasTokenizer VitsTokenizer Wav2Vec2CTCTokenizer
    Wav2Vec2PhonemeCTCTokenizer XLMTokenizer
"""
# Classes that transformers builds anew, or from a file of SentencePiece, and kzoo doesn't.
ANEW = """
    BarthezTokenizer BartphoTokenizer BertGenerationTokenizer BlenderbotTokenizer
    CLIPTokenizer CamembertTokenizer CodeGenTokenizer CodeLlamaTokenizer CohereTokenizer
    CpmTokenizer DPRReaderTokenizer EsmcTokenizer FunnelTokenizer
    GPTNeoXTokenizer GPTSw3Tokenizer GemmaTokenizer HerbertTokenizer LasrTokenizer
    LayoutLMv2Tokenizer LayoutLMv3Tokenizer LayoutXLMTokenizer LlamaTokenizer LukeTokenizer
    M2M100Tokenizer MLukeTokenizer MarianTokenizer
    MarkupLMTokenizer NllbTokenizer NougatTokenizer OpenAIGPTTokenizer PLBartTokenizer
    PegasusTokenizer Qwen2Tokenizer Qwen3_5Tokenizer ReformerTokenizer RemBertTokenizer
    RoFormerTokenizer SeamlessM4TTokenizer Siglip2Tokenizer SiglipTokenizer Speech2TextTokenizer
    SpeechT5Tokenizer SplinterTokenizer Tipsv2Tokenizer UdopTokenizer
    VideoPrismTokenizer WhisperTokenizer XGLMTokenizer
"""
# mBART's, and behind them those that mBART-50 added (arXiv:2008.00401).
LANGUAGES = """
    ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV
    my_MM ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN
    af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX
    sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI
""".split()  # noqa: SIM905
REFUSED = ("HerbertTokenizer",)


class SideFiles:
    """What lies beside a tokenizer's vocabulary in a folder.

    Args:
        folder: the folder; files that aren't there say nothing.

    Raises:
        KzooError: for a file that is damaged, a setting of another kind than it has, or a class
            of tokenizers that only Python code of its own can stand for.
    """

    def __init__(self, folder):
        self.folder = folder
        self.config = self._read(CONFIG, "a tokenizer's settings")
        self.special = self._read(SPECIAL, "names of special tokens")
        self.added = self._read(ADDED, "added tokens")
        self.model = self._read(MODEL, "a model's configuration")
        self._check()

    def _read(self, name, what):
        path = self.folder / name
        return read_json(path, what) if path.is_file() else {}

    def _check(self):
        for key in SWITCHES:
            value = self.config.get(key)
            if not isinstance(value, (bool, type(None))):
                raise self.wrong(key, value, "true or false")
        side = self.config.get("truncation_side")
        if side not in (None, *SIDES):
            raise self.wrong("truncation_side", side, "left or right")
        length = self.config.get("model_max_length", self.config.get("max_len"))
        if length is not None and not is_number(length, 2):
            raise self.wrong("model_max_length", length, "a number of tokens from 2")
        if self.config.get("split_special_tokens"):
            raise KzooError(
                f"{self.folder / CONFIG} has split_special_tokens true; kzoo finds special tokens "
                "whole in a text, as their models were trained: remove the setting."
            )
        if self.class_name in PYTHON_ONLY.split():
            raise KzooError(
                f"{self.folder} asks for a {self.class_name}, which works in Python by rules of "
                "its own; kzoo reads tokenizers of the tokenizers library: give the model "
                "another as tokenizer=, or tokenizer=False to go without."
            )

    def wrong(self, key, value, expected):
        """The error for a setting that is none."""
        return KzooError(f"{self.folder / CONFIG} has {key} {value!r:.40}; {expected} is expected.")

    # -- what they say -------------------------------------------------------------------------

    @cached_property
    def stated_class(self):
        """The class that a file names, without "Fast", or None."""
        for source in (self.config, self.model):
            name = source.get("tokenizer_class")
            if name is not None and not isinstance(name, str):
                raise KzooError(
                    f"The files of {self.folder} have tokenizer_class {name!r:.40}; a name is "
                    "expected."
                )
            if name:
                return name.removesuffix("Fast")
        return None

    @property
    def class_name(self):
        """The tokenizer's class, without "Fast"; None where nothing tells it."""
        kind = self.model.get("model_type")
        return self.stated_class or (MODEL_CLASSES.get(kind) if isinstance(kind, str) else None)

    @property
    def recipe(self):
        """The `Recipe` of the class, or None for one that takes its tokenizer.json as it is."""
        return RECIPES.get(self.class_name)

    @property
    def are_absent(self):
        """Whether there is nothing that transformers would load a tokenizer by."""
        return not self.config and not self.model

    @property
    def max_length(self):
        """The tokens that a model of this tokenizer takes at most, or None."""
        length = self.config.get("model_max_length", self.config.get("max_len"))
        return None if length is None or length > LONGEST else int(length)

    @property
    def truncation_side(self):
        """From which side a long text loses tokens, or None where it isn't said."""
        return self.config.get("truncation_side")

    @property
    def language(self):
        """The code of the language that a text is in, where no call says so (mBART)."""
        code = self.config.get("src_lang") or "en_XX"
        if not isinstance(code, str):
            raise self.wrong("src_lang", code, "the code of a language")
        return code

    @property
    def _stated(self):
        """The settings that name tokens; the map counts where no list of added tokens is."""
        return {**self.config, **({} if LISTED in self.config else self.special)}

    def named(self, key, recipe=None):
        """The token that a setting such as "pad_token" names, as a string, or None.

        A recipe names those that the files say nothing of.
        """
        stated = self._stated
        value = stated[key] if key in stated else (recipe.tokens.get(key) if recipe else None)
        value = value.get("content") if isinstance(value, dict) else value
        return value if isinstance(value, str) else None

    def roles(self, keys):
        """The tokens of `keys` {role: (setting, ...)} by role, where the files name them."""
        named = {role: self.named(key, self.recipe) for role, (key, *_) in keys.items()}
        return {role: token for role, token in named.items() if token is not None}

    def suppose(self, **settings):
        """Settings that count where no file says anything of them."""
        self.config = {**settings, **self.config}

    # -- into a backend --------------------------------------------------------------------------

    def applied(self, backend):
        """The backend of a tokenizer.json with what the files say; made anew where a recipe is."""
        recipe, kind = self.recipe, type(backend.model)
        if self.stated_class in ANEW.split():
            if kind is models.WordPiece or self.stated_class in REFUSED:
                raise self._not_of_json("which transformers builds anew by rules that kzoo lacks")
            warnings.warn(
                f"{self.folder} has tokenizer_class {self.stated_class}, which transformers builds "
                "anew: tokenizer.json is taken as it is; compare the ids of a text.",
                stacklevel=4,
            )
        if recipe is not None and recipe.model is not kind and self.stated_class:
            raise self._not_of_json(
                f"a {recipe.model.__name__}, and a tokenizer.json with a {kind.__name__}, which "
                "don't belong together"
            )
        listed = {} if LISTED in self.config else backend.get_added_tokens_decoder()
        if recipe is None or recipe.model is not kind or self.class_name in AS_IT_IS:
            self._add_tokens(backend, listed)
            return backend
        fresh = self.built(recipe, json.loads(backend.to_str()), listed)
        if backend.truncation:
            fresh.enable_truncation(**backend.truncation)
        if backend.padding:
            fresh.enable_padding(**backend.padding)
        return fresh

    def _not_of_json(self, why):
        return KzooError(
            f"{self.folder} has tokenizer_class {self.stated_class}, {why}: write "
            "PreTrainedTokenizerFast in its place to take tokenizer.json as it is, give the model "
            "another as tokenizer=, or tokenizer=False to go without."
        )

    def built(self, recipe, parts, listed=None):
        """A backend by a recipe.

        Args:
            recipe: a `Recipe`.
            parts: the object of a tokenizer.json, of which the model's vocabulary and merges and
                a table of characters in the normalizer are taken.
            listed: added tokens by id, from that file.
        """
        backend = recipe.build(self, recipe, parts)
        self._add_tokens(backend, listed or {}, recipe)
        recipe.frame(self, recipe, backend)
        return backend

    def _add_tokens(self, backend, listed, recipe=None):
        """Add the tokens that the files name, and listed ones, in the order of their ids."""
        named = self._named_tokens(backend, recipe)
        tokens = {**self._by_id({token.content for token in named}), **listed}
        new = [tokens[number] for number in sorted(tokens)]
        for token in new:
            if not token.special and token.content in {self.named(k, recipe) for k in NAMED}:
                token.special = True
        known = {token.content for token in new}
        known |= {token.content for token in backend.get_added_tokens_decoder().values()}
        for token in named:
            if token.content not in known:
                known.add(token.content)
                new.append(token)
        backend.add_tokens(new)

    def _by_id(self, special):
        """Tokens with their ids: of the settings' list, else of added_tokens.json."""
        tokens = {}
        if LISTED in self.config:
            entries = self.config[LISTED]
            if not isinstance(entries, dict):
                raise self.wrong(LISTED, entries, "an object of tokens by id")
            for number, entry in entries.items():
                if not number.isascii() or not number.isdigit() or not isinstance(entry, dict):
                    raise self.wrong(LISTED, {number: entry}, "a token by its id")
                tokens[int(number)] = self._token(entry)
            return tokens
        for content, number in self.added.items():
            if not is_whole(number, 0) or not content:
                raise KzooError(
                    f"{self.folder / ADDED} has {content!r:.40} {number!r:.40}; tokens with "
                    "their ids are expected."
                )
            is_special = content in special
            tokens[number] = AddedToken(content, normalized=not is_special, special=is_special)
        return tokens

    def _named_tokens(self, backend, recipe):
        """The special tokens that the files name, in the order in which they get new ids.

        Those that only the recipe names are no reason to widen a vocabulary.
        """
        stated = self._stated
        usual = {
            key: value
            for key, value in (recipe.tokens if recipe else {}).items()
            if key not in stated and backend.token_to_id(_content(value)) is not None
        }
        values = [stated.get(key, usual.get(key)) for key in NAMED]
        values += [v for key, v in stated.items() if key.endswith("_token") and key not in NAMED]
        extra = stated.get("extra_special_tokens") or stated.get("additional_special_tokens") or []
        if isinstance(extra, dict):
            extra = list(extra.values())
        if not isinstance(extra, list) or not all(map(_is_token, extra)):
            raise self.wrong("additional_special_tokens", extra, "a list of tokens")
        return [self._token(value, special=True) for value in [*values, *extra] if _is_token(value)]

    def _token(self, value, special=None):
        """A token of its name, or of an object with its flags."""
        if isinstance(value, str):
            return AddedToken(value, special=True)
        content = value.get("content")
        flags = {key: value[key] for key in FLAGS if value.get(key) is not None}
        if special is not None:
            flags["special"] = special
        if not isinstance(content, str) or not all(isinstance(v, bool) for v in flags.values()):
            raise self.wrong("the token", value, "a content, and flags that are true or false,")
        return AddedToken(content, **flags)


def _is_token(value):
    return isinstance(value, (str, dict)) and bool(value)


def _content(value):
    return value.get("content") if isinstance(value, dict) else value


# -- the classes that build their tokenizers anew -------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a class of transformers makes a tokenizer.

    Args:
        model: the class of the backend's model.
        files: the files of its vocabulary.
        build: takes the side files, this recipe and the object of a tokenizer.json; gives the
            backend without added tokens.
        frame: sets its post-processor, once all tokens have ids.
        tokens: the special tokens where the files name no others.
        pieces: takes the side files and a model of SentencePiece; gives the object of a
            tokenizer.json, and added tokens by id. None for a class that reads no such model.
    """

    model: type
    files: tuple
    build: object
    frame: object
    tokens: dict
    pieces: object = None


def word_piece(files, recipe, parts):
    """BERT's WordPiece; text is lower-cased unless the settings say otherwise."""
    unknown = files.named("unk_token", recipe) or "[UNK]"
    backend = tokenizers.Tokenizer(models.WordPiece(parts["model"]["vocab"], unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=_switch(files, "tokenize_chinese_chars", True),
        strip_accents=files.config.get("strip_accents"),
        lowercase=_switch(files, "do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def byte_level(files, recipe, parts):
    """Byte-level BPE (GPT-2, RoBERTa), with a space before a text where the settings ask for it."""
    model = parts["model"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    backend = tokenizers.Tokenizer(models.BPE(model["vocab"], merges))
    before = _switch(files, "add_prefix_space", False)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=before)
    backend.decoder = decoders.ByteLevel()
    return backend


def unigram(files, recipe, parts):
    """XLM-RoBERTa's pieces of words that spaces part."""
    model = parts["model"]
    pieces = [tuple(piece) for piece in model["vocab"]]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, model["unk_id"], byte_fallback=False))
    charsmap = _charsmap(parts)
    if charsmap:
        backend.normalizer = normalizers.Precompiled(charsmap)
    scheme = "always" if _switch(files, "add_prefix_space", True) else "never"
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme),
        ]
    )
    backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    return backend


def albert_unigram(files, recipe, parts):
    """ALBERT's: accents are stripped and text is lower-cased unless the settings say otherwise."""
    keeps = _switch(files, "keep_accents", False)
    return _quoted(files, recipe, parts, keeps, _switch(files, "do_lower_case", True))


def xlnet_unigram(files, recipe, parts):
    """XLNet's: accents are stripped; text is lower-cased where the settings say so."""
    # Accents go whatever keep_accents says, as in transformers 5.
    return _quoted(files, recipe, parts, False, _switch(files, "do_lower_case", False))


def _quoted(files, recipe, parts, keeps_accents, lowers):
    """Pieces of words in which pairs of quotes are one, maybe without accents or capitals."""
    backend = unigram(files, recipe, parts)
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not keeps_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if lowers:
        steps.append(normalizers.Lowercase())
    if backend.normalizer is not None:
        steps.append(backend.normalizer)
    backend.normalizer = normalizers.Sequence(steps)
    return backend


def deberta_unigram(files, recipe, parts):
    """DeBERTa's of version 2: spaces in a row are one, and no table of characters counts."""
    backend = unigram(files, recipe, parts)
    steps = [normalizers.Lowercase()] if _switch(files, "do_lower_case", False) else []
    steps += [
        normalizers.Replace(tokenizers.Regex(r"\s{2,}|[\n\r\t]"), " "),
        normalizers.NFC(),
        normalizers.Strip(left=False, right=True),
    ]
    backend.normalizer = normalizers.Sequence(steps)
    is_isolated = _switch(files, "split_by_punct", False)
    cuts = [pre_tokenizers.Punctuation(behavior="isolated")] if is_isolated else []
    scheme = "always" if _switch(files, "add_prefix_space", True) else "first"
    cuts.append(pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme))
    backend.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    return backend


def bigbird_unigram(files, recipe, parts):
    """BigBird's: of several spaces a mark, and no table of characters counts."""
    backend = unigram(files, recipe, parts)
    spaces = normalizers.Replace(tokenizers.Regex(r" {2,}"), "▁")
    backend.normalizer = normalizers.Sequence([spaces])
    scheme = "always" if _switch(files, "add_prefix_space", True) else "never"
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)
    return backend


def pieces_as_they_are(files, model, special=()):
    """A model's own numbers; its control pieces are special tokens."""
    rows = [(p.piece, p.score) for p in model.pieces]
    return _parts(model, rows, model.trainer_spec.unk_id, special)


def pieces_of_deberta(files, model):
    """A model's own numbers, and behind them the special tokens that it lacks: the mask."""
    parts, added = pieces_as_they_are(files, model)
    known = {piece.piece for piece in model.pieces}
    names = dict.fromkeys(files.named(key, DEBERTA_V2) for key in NAMED)
    new = [name for name in names if name and name not in known]
    more = (AddedToken(name, normalized=False, special=True) for name in new)
    return parts, added | dict(enumerate(more, len(model.pieces)))


def pieces_of_t5(files, model):
    """Behind a model's pieces its sentinels, the last first."""
    count = files.config.get("extra_ids", 100)
    if not is_whole(count, 0, 2**16):
        raise files.wrong("extra_ids", count, "a whole number")
    rows = [(p.piece, p.score) for p in model.pieces]
    known = {piece for piece, _ in rows}
    sentinels = [f"<extra_id_{n}>" for n in reversed(range(count))]
    rows += [(piece, 0.0) for piece in sentinels if piece not in known]
    return _parts(model, rows, model.trainer_spec.unk_id, sentinels)


def pieces_of_fairseq(files, model, codes=()):
    """Four special tokens, a model's pieces, codes of languages and the mask."""
    rows = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    rows += [(p.piece, p.score) for p in model.pieces if p.type == sentencepiece.NORMAL]
    rows += [(piece, 0.0) for piece in (*codes, "<mask>")]
    return _parts(model, rows, 3, codes)


def pieces_of_mbart(files, model):
    """fairseq's, with 25 languages."""
    return pieces_of_fairseq(files, model, LANGUAGES[:25])


def pieces_of_mbart50(files, model):
    """fairseq's, with all languages."""
    return pieces_of_fairseq(files, model, LANGUAGES)


def _parts(model, rows, unknown, special):
    """The object of a tokenizer.json for rows of pieces and scores, and the added tokens."""
    numbers = {piece: number for number, (piece, _) in enumerate(rows)}
    by_type = {p.piece: p.type for p in model.pieces}
    added = {
        numbers[piece]: AddedToken(piece, normalized=False, special=special)
        for of_type, special in ((sentencepiece.CONTROL, True), (sentencepiece.USER_DEFINED, False))
        for piece, its_type in by_type.items()
        if its_type == of_type and piece in numbers
    }
    added |= {numbers[p]: AddedToken(p, normalized=False, special=True) for p in special}
    table = sentencepiece.table(model)
    parts = {"model": {"vocab": rows, "unk_id": unknown}}
    return parts | ({"normalizer": {"precompiled_charsmap": table}} if table else {}), added


def frame_as_bert(files, recipe, backend):
    """[CLS] A [SEP] B [SEP], the second text with segments of its own."""
    start, stop = files.named("cls_token", recipe), files.named("sep_token", recipe)
    backend.post_processor = processors.TemplateProcessing(
        single=[f"{start}:0", "$A:0", f"{stop}:0"],
        pair=[f"{start}:0", "$A:0", f"{stop}:0", "$B:1", f"{stop}:1"],
        special_tokens=_ids(files, backend, start, stop),
    )


def frame_as_xlnet(files, recipe, backend):
    """A <sep> B <sep> <cls>, the second text and the class token with segments of their own."""
    stop, whole = files.named("sep_token", recipe), files.named("cls_token", recipe)
    backend.post_processor = processors.TemplateProcessing(
        single=["$A:0", f"{stop}:0", f"{whole}:2"],
        pair=["$A:0", f"{stop}:0", "$B:1", f"{stop}:1", f"{whole}:2"],
        special_tokens=_ids(files, backend, stop, whole),
    )


def frame_as_deberta(files, recipe, backend):
    """[CLS] A [SEP] [SEP] B [SEP], as transformers 5 has it."""
    start, stop = files.named("cls_token", recipe), files.named("sep_token", recipe)
    backend.post_processor = processors.TemplateProcessing(
        single=[start, "$A", stop],
        pair=[start, "$A", stop, stop, "$B", stop],
        special_tokens=_ids(files, backend, start, stop),
    )


def frame_as_roberta(files, recipe, backend):
    """<s> A </s></s> B </s>, with characters that stand without the spaces round them."""
    start, stop = files.named("cls_token", recipe), files.named("sep_token", recipe)
    ids = dict(_ids(files, backend, start, stop))
    backend.post_processor = processors.RobertaProcessing(
        (stop, ids[stop]),
        (start, ids[start]),
        trim_offsets=_switch(files, "trim_offsets", True),
        add_prefix_space=_switch(files, "add_prefix_space", False),
    )


def frame_as_xlm_roberta(files, recipe, backend):
    """<s> A </s></s> B </s>."""
    start, stop = files.named("bos_token", recipe), files.named("eos_token", recipe)
    backend.post_processor = processors.TemplateProcessing(
        single=[start, "$A", stop],
        pair=[start, "$A", stop, stop, "$B", stop],
        special_tokens=_ids(files, backend, start, stop),
    )


def frame_as_t5(files, recipe, backend):
    """A </s> B </s>."""
    stop = files.named("eos_token", recipe)
    backend.post_processor = processors.TemplateProcessing(
        single=["$A", stop],
        pair=["$A", stop, "$B", stop],
        special_tokens=_ids(files, backend, stop),
    )


def frame_as_mbart(files, recipe, backend):
    """A </s> and the code of the source's language, which the settings name."""
    stop, code = files.named("eos_token", recipe), files.language
    backend.post_processor = processors.TemplateProcessing(
        single=["$A", stop, code],
        pair=["$A", "$B", stop, code],
        special_tokens=_ids(files, backend, stop, code),
    )


def frame_as_mbart50(files, recipe, backend):
    """The code of the source's language, A </s>."""
    stop, code = files.named("eos_token", recipe), files.language
    backend.post_processor = processors.TemplateProcessing(
        single=[code, "$A", stop],
        pair=[code, "$A", "$B", stop],
        special_tokens=_ids(files, backend, stop, code),
    )


def frame_as_gpt2(files, recipe, backend):
    """Nothing round a text."""
    backend.post_processor = processors.ByteLevel(trim_offsets=False)


def _switch(files, key, default):
    value = files.config.get(key)
    return default if value is None else value


def _charsmap(parts):
    """The table of characters that SentencePiece left in a normalizer, or None."""
    normalizer = parts.get("normalizer") or {}
    for step in normalizer.get("normalizers", [normalizer]):
        if step.get("precompiled_charsmap"):
            return base64.b64decode(step["precompiled_charsmap"])
    return None


def _ids(files, backend, *tokens):
    numbered = [(token, backend.token_to_id(token or "")) for token in dict.fromkeys(tokens)]
    missing = [str(token) for token, number in numbered if number is None]
    if missing:
        raise KzooError(
            f"The vocabulary of {files.folder} lacks {', '.join(missing)}, which its tokenizer "
            "puts round a text: add it, or name another token."
        )
    return numbered


BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
ALBERT_TOKENS = {**BERT_TOKENS, "unk_token": "<unk>", "pad_token": "<pad>"}
XLNET_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "<sep>",
    "pad_token": "<pad>",
    "cls_token": "<cls>",
    "mask_token": {"content": "<mask>", "lstrip": True},
}
BIGBIRD_TOKENS = {
    **ALBERT_TOKENS,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "mask_token": {"content": "[MASK]", "lstrip": True},
}
T5_TOKENS = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
GPT2_TOKENS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
BPE_FILES = ("vocab.json", "merges.txt")
BERT = Recipe(models.WordPiece, ("vocab.txt",), word_piece, frame_as_bert, BERT_TOKENS)
ROBERTA = Recipe(models.BPE, BPE_FILES, byte_level, frame_as_roberta, ROBERTA_TOKENS)
GPT2 = Recipe(models.BPE, BPE_FILES, byte_level, frame_as_gpt2, GPT2_TOKENS)
ALBERT = Recipe(
    models.Unigram, (), albert_unigram, frame_as_bert, ALBERT_TOKENS, pieces_as_they_are
)
XLM_ROBERTA = Recipe(
    models.Unigram, (), unigram, frame_as_xlm_roberta, ROBERTA_TOKENS, pieces_of_fairseq
)
T5 = Recipe(models.Unigram, (), unigram, frame_as_t5, T5_TOKENS, pieces_of_t5)
BIGBIRD = Recipe(
    models.Unigram, (), bigbird_unigram, frame_as_bert, BIGBIRD_TOKENS, pieces_as_they_are
)
DEBERTA_TOKENS = {**BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]"}
DEBERTA = Recipe(models.BPE, BPE_FILES, byte_level, frame_as_deberta, DEBERTA_TOKENS)
DEBERTA_V2 = Recipe(
    models.Unigram,
    (),
    deberta_unigram,
    frame_as_bert,
    DEBERTA_TOKENS,
    pieces_of_deberta,
)
MBART_TOKENS = {**ROBERTA_TOKENS, "mask_token": {"content": "<mask>", "lstrip": True}}
MPNET = Recipe(
    models.WordPiece,
    ("vocab.txt",),
    word_piece,
    frame_as_roberta,
    {**MBART_TOKENS, "unk_token": "[UNK]"},
)
MBART = Recipe(models.Unigram, (), unigram, frame_as_mbart, MBART_TOKENS, pieces_of_mbart)
MBART50 = Recipe(models.Unigram, (), unigram, frame_as_mbart50, MBART_TOKENS, pieces_of_mbart50)
XLNET = Recipe(models.Unigram, (), xlnet_unigram, frame_as_xlnet, XLNET_TOKENS, pieces_as_they_are)
RECIPES = {
    "AlbertTokenizer": ALBERT,
    "BartTokenizer": ROBERTA,
    "BertTokenizer": BERT,
    "BigBirdTokenizer": BIGBIRD,
    "ConvBertTokenizer": BERT,
    "DPRContextEncoderTokenizer": BERT,
    "DPRQuestionEncoderTokenizer": BERT,
    "DebertaTokenizer": DEBERTA,
    "DebertaV2Tokenizer": DEBERTA_V2,
    "DistilBertTokenizer": BERT,
    "ElectraTokenizer": BERT,
    "GPT2Tokenizer": GPT2,
    "LEDTokenizer": ROBERTA,
    "LayoutLMTokenizer": BERT,
    "LongformerTokenizer": ROBERTA,
    "LxmertTokenizer": BERT,
    "MBart50Tokenizer": MBART50,
    "MBartTokenizer": MBART,
    "MPNetTokenizer": MPNET,
    "MT5Tokenizer": T5,
    "MobileBertTokenizer": BERT,
    "MvpTokenizer": ROBERTA,
    "RobertaTokenizer": ROBERTA,
    "SqueezeBertTokenizer": BERT,
    "T5Tokenizer": T5,
    "XLMRobertaTokenizer": XLM_ROBERTA,
    "XLNetTokenizer": XLNET,
}
AS_IT_IS = ("ConvBertTokenizer",)  # builds from a vocabulary only where no tokenizer.json is
# Of the kind of model, where no file names a class.
MODEL_CLASSES = {
    "albert": "AlbertTokenizer",
    "bert": "BertTokenizer",
    "big_bird": "BigBirdTokenizer",
    "deberta": "DebertaTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "distilbert": "BertTokenizer",
    "electra": "ElectraTokenizer",
    "longformer": "LongformerTokenizer",
    "mbart": "MBartTokenizer",
    "mpnet": "MPNetTokenizer",
    "mt5": "T5Tokenizer",
    "roberta": "RobertaTokenizer",
    "t5": "T5Tokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "xlnet": "XLNetTokenizer",
}

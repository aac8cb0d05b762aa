"""Tiny models of many families, and a stand-in for the Hugging Face hub on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

# Models ------------------------------------------------------------------------------------------

TEXTS = (
    "Kevin Durant plays in New York and Paris .",
    "the bank of the river is in London",
    "Obama said hello to Amazon in Washington",
) * 20
SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
T5 = {"d_model": 32, "d_kv": 8, "num_layers": 2, "num_heads": 4, "d_ff": 64}
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ALBERT_SPECIALS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]


def word_pieces(cls: Any, **options: Any) -> Any:
    letters = [chr(code) for code in range(33, 127)]
    words = ["Kevin", "Durant", "in", "New", "York", "par", "##is"]
    pieces = [*BERT_SPECIALS, *letters, *(f"##{letter}" for letter in letters), *words]
    return cls(vocab={piece: i for i, piece in enumerate(pieces)}, **options)


def byte_level(specials: list[str]) -> Any:
    """A byte-level BPE that puts no space before a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def merged(cls: Any, specials: list[str], **options: Any) -> Any:
    model = json.loads(byte_level(specials).to_str())["model"]
    return cls(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], **options)


def generic() -> Any:
    """ModernBERT's way: a tokenizer of the generic class, which puts no space before words."""
    from tokenizers import decoders, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = byte_level(BERT_SPECIALS)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    special = {f"{name}_token": token for name, token in zip(names, BERT_SPECIALS, strict=True)}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def unigram(cls: Any, specials: list[str], unknown: str, **options: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=specials, unk_token=unknown, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    return cls(vocab=[tuple(entry) for entry in vocabulary], **options)


# fmt: off
def recipes() -> dict[str, tuple[Callable[[], Any], Callable[[int], Any], str]]:
    """By family: its tokenizer, its configuration for so many pieces, and the class saved."""
    import transformers as t

    deberta = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 16}
    xlnet = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
    bart = {f"{side}_{what}": size for side in ("encoder", "decoder") for what, size in (
        ("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))}
    short = {"max_position_embeddings": 66, **SIZE}
    plain = {key: size for key, size in SIZE.items() if key != "num_attention_heads"}
    mobile = {"embedding_size": 32, "true_hidden_size": 32, "intra_bottleneck_size": 32, **SIZE}
    return {
        "bert": (
            lambda: word_pieces(t.BertTokenizer, do_lower_case=False),
            lambda n: t.BertConfig(vocab_size=n, **short),
            "BertForMaskedLM",
        ),
        "distilbert": (
            lambda: word_pieces(t.DistilBertTokenizer),
            lambda n: t.DistilBertConfig(
                vocab_size=n, dim=32, n_layers=2, n_heads=4, hidden_dim=64
            ),
            "DistilBertForMaskedLM",
        ),
        "electra": (
            lambda: word_pieces(t.ElectraTokenizer),
            lambda n: t.ElectraConfig(vocab_size=n, embedding_size=16, **short),
            "ElectraForPreTraining",
        ),
        "ernie": (
            lambda: word_pieces(t.BertTokenizer),
            lambda n: t.ErnieConfig(vocab_size=n, **short),
            "ErnieModel",
        ),
        "squeezebert": (
            lambda: word_pieces(t.BertTokenizer),
            lambda n: t.SqueezeBertConfig(vocab_size=n, embedding_size=32, **short),
            "SqueezeBertModel",
        ),
        "mobilebert": (
            lambda: word_pieces(t.BertTokenizer),
            lambda n: t.MobileBertConfig(vocab_size=n, **mobile),
            "MobileBertModel",
        ),
        "mpnet": (
            lambda: word_pieces(t.MPNetTokenizer),
            lambda n: t.MPNetConfig(vocab_size=n, **short),
            "MPNetModel",
        ),
        "roberta": (
            lambda: merged(t.RobertaTokenizer, ROBERTA_SPECIALS),
            lambda n: t.RobertaConfig(vocab_size=n, **short),
            "RobertaForMaskedLM",
        ),
        "longformer": (
            lambda: merged(t.RobertaTokenizer, ROBERTA_SPECIALS),
            lambda n: t.LongformerConfig(vocab_size=n, attention_window=8, **short),
            "LongformerModel",
        ),
        "luke": (
            lambda: merged(t.RobertaTokenizer, ROBERTA_SPECIALS),
            lambda n: t.LukeConfig(
                vocab_size=n, entity_vocab_size=10, entity_emb_size=8, **short
            ),
            "LukeModel",
        ),
        "deberta": (
            lambda: merged(t.DebertaTokenizer, ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]),
            lambda n: t.DebertaConfig(vocab_size=n, **deberta, **short),
            "DebertaModel",
        ),
        "modernbert": (
            generic,
            lambda n: t.ModernBertConfig(
                vocab_size=n, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2,
                eos_token_id=3, **short
            ),
            "ModernBertForMaskedLM",
        ),
        "deberta-v3": (
            lambda: unigram(
                t.DebertaV2Tokenizer, ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[UNK]"
            ),
            lambda n: t.DebertaV2Config(vocab_size=n, **deberta, **short),
            "DebertaV2Model",
        ),
        "xlm-roberta": (
            lambda: unigram(t.XLMRobertaTokenizer, ROBERTA_SPECIALS[:4], "<unk>"),
            lambda n: t.XLMRobertaConfig(vocab_size=n, **short),
            "XLMRobertaForMaskedLM",
        ),
        "camembert": (
            lambda: unigram(t.CamembertTokenizer, ROBERTA_SPECIALS[:4], "<unk>"),
            lambda n: t.CamembertConfig(vocab_size=n, pad_token_id=1, **short),
            "CamembertForMaskedLM",
        ),
        "albert": (
            lambda: unigram(t.AlbertTokenizer, ALBERT_SPECIALS, "<unk>"),
            lambda n: t.AlbertConfig(vocab_size=n, embedding_size=16, **short),
            "AlbertForMaskedLM",
        ),
        "big_bird": (
            lambda: unigram(
                t.BigBirdTokenizer, ["<pad>", "</s>", "<s>", "<unk>", *BERT_SPECIALS[2:]], "<unk>"
            ),
            lambda n: t.BigBirdConfig(vocab_size=n, block_size=4, sep_token_id=5, **short),
            "BigBirdModel",
        ),
        "xlnet": (
            lambda: unigram(t.XLNetTokenizer, xlnet, "<unk>"),
            lambda n: t.XLNetConfig(vocab_size=n, d_model=32, n_layer=2, n_head=4, d_inner=64),
            "XLNetLMHeadModel",
        ),
        "t5": (
            lambda: unigram(t.T5Tokenizer, ["<pad>", "</s>", "<unk>"], "<unk>", extra_ids=0),
            lambda n: t.T5Config(vocab_size=n, n_positions=64, **T5),
            "T5ForConditionalGeneration",
        ),
        "mt5": (
            lambda: unigram(t.T5Tokenizer, ["<pad>", "</s>", "<unk>"], "<unk>", extra_ids=0),
            lambda n: t.MT5Config(vocab_size=n, **T5),
            "MT5ForConditionalGeneration",
        ),
        "byt5": (
            t.ByT5Tokenizer,
            lambda n: t.T5Config(vocab_size=384, **T5),
            "T5ForConditionalGeneration",
        ),
        "canine": (
            t.CanineTokenizer,
            lambda n: t.CanineConfig(num_hash_buckets=64, **short),
            "CanineModel",
        ),
        "gpt2": (
            lambda: merged(t.GPT2Tokenizer, ["<|endoftext|>"]),
            lambda n: t.GPT2Config(
                vocab_size=n, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0,
                eos_token_id=0
            ),
            "GPT2LMHeadModel",
        ),
        "llama": (
            generic,
            lambda n: t.LlamaConfig(vocab_size=n, **short),
            "LlamaForCausalLM",
        ),
        "bart": (
            lambda: merged(t.BartTokenizer, ROBERTA_SPECIALS),
            lambda n: t.BartConfig(vocab_size=n, d_model=32, **bart),
            "BartModel",
        ),
        "fnet": (
            lambda: unigram(t.FNetTokenizer, ALBERT_SPECIALS, "<unk>"),
            lambda n: t.FNetConfig(vocab_size=n, **plain),
            "FNetModel",
        ),
        "funnel": (
            lambda: word_pieces(
                t.FunnelTokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]",
                unk_token="[UNK]", mask_token="[MASK]",
            ),
            lambda n: t.FunnelConfig(
                vocab_size=n, d_model=32, n_head=4, d_head=8, d_inner=64, block_sizes=[1, 1],
                num_decoder_layers=1,
            ),
            "FunnelModel",
        ),
        "convbert": (
            lambda: word_pieces(t.BertTokenizer),
            lambda n: t.ConvBertConfig(vocab_size=n, embedding_size=32, **short),
            "ConvBertModel",
        ),
        "nystromformer": (
            lambda: unigram(t.AlbertTokenizer, ALBERT_SPECIALS, "<unk>"),
            lambda n: t.NystromformerConfig(
                vocab_size=n, num_landmarks=8, segment_means_seq_len=64, **short
            ),
            "NystromformerModel",
        ),
    }
# fmt: on


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Save a tiny model of a family, once; its folder."""
    made: dict[str, Path] = {}

    def save(family: str) -> Path:
        import transformers

        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            if family == "clip":
                towers = {"text_config": {"vocab_size": 20, **SIZE}}
                towers["vision_config"] = {"image_size": 32, "patch_size": 16, **SIZE}
                transformers.CLIPModel(transformers.CLIPConfig(**towers)).save_pretrained(folder)
                transformers.CLIPImageProcessor(
                    size={"shortest_edge": 40}, image_mean=[0.1, 0.2, 0.3]
                ).save_pretrained(folder)
            else:
                make, configure, model = recipes()[family]
                tokenizer = make()
                tokenizer.save_pretrained(folder)
                pieces = max(tokenizer.get_vocab().values()) + 1 if family != "canine" else 0
                getattr(transformers, model)(configure(pieces)).save_pretrained(folder)
            made[family] = folder
        return made[family]

    return save


# The hub -----------------------------------------------------------------------------------------


@dataclass
class Hub:
    """Repositories by name, commits and files, as a hub would serve them.

    ``closed``: the token that a repository asks for. ``cut``: how many more times the connection
    is closed in the middle of a file. ``down``: no request is answered. ``log``: what was asked.
    ``token``: what whoever uploads has to show.
    """

    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    refs: dict[tuple[str, str], str] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    down: bool = False
    log: list[str] = field(default_factory=list)
    url: str = ""
    token: str = "writer"

    def add(self, name: str, folder: Path, commit: str = "a" * 40, leave: str = " ") -> str:
        """Serve a folder's files, but those whose names match ``leave``, as the newest commit."""
        files = {p.name: p.read_bytes() for p in folder.iterdir() if not re.match(leave, p.name)}
        self.repositories.setdefault(name, {})[commit] = files
        self.refs[name, "main"] = commit
        return name

    def commit(self, name: str, lines: list[dict[str, Any]]) -> str:
        """Apply an upload's commit, as lines of JSON, to the newest files; the new commit."""
        before = self.refs.get((name, "main"))
        files = dict(self.repositories[name].get(before or "", {}))
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.repositories[name][commit] = files
        self.refs[name, "main"] = commit
        return commit

    def find(self, name: str, revision: str) -> str | None:
        commit = self.refs.get((name, revision), revision)
        return commit if commit in self.repositories.get(name, {}) else None


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_POST(self) -> None:
            """Uploads: a repository is made, files are announced, and a commit brings them."""
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            hub.log.append(f"POST {path}")
            if self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self.give(401, X_Error_Message="Invalid username or password.")
            told = re.fullmatch(r"/api/models/([\w-]+/[\w-]+)/(preupload|commit)/main", path)
            made: dict[str, Any] = {}
            if path == "/api/repos/create":
                asked = json.loads(content)
                name = f"{asked['organization']}/{asked['name']}"
                made = {"url": f"{hub.url}/{name}", "id": name}
                if name in hub.repositories:
                    return self.give(409, json.dumps(made).encode())
                hub.repositories[name] = {}
            elif path == "/api/validate-yaml":
                assert yaml.safe_load(json.loads(content)["content"].split("---")[1])
                made = {"errors": [], "warnings": []}
            elif told is None or told[1] not in hub.repositories:
                return self.give(404, X_Error_Code="RepoNotFound")
            elif told[2] == "preupload":
                paths = [file["path"] for file in json.loads(content)["files"]]
                plain = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
                made = {"files": [{"path": path, **plain} for path in paths]}
            else:
                lines = [json.loads(line) for line in content.decode().splitlines() if line]
                commit = hub.commit(told[1], lines)
                url = f"{hub.url}/{told[1]}/commit/{commit}"
                made = {"commitUrl": url, "commitOid": commit, "hookOutput": ""}
            self.give(200, json.dumps(made).encode(), Content_Type="application/json")

        def give(self, code: int, content: bytes = b"", body: bool = True, **more: str) -> None:
            self.send_response(code)
            for key, value in {"Content_Length": str(len(content)), **more}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.log.append(f"{self.command} {path}")
            if hub.down:
                self.close_connection = True
                return
            info = re.fullmatch(r"/api/models/([\w-]+/[\w-]+)(?:/revision/(.+))?", path)
            file = re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/([^/]+)/(.+)", path)
            found = info or file
            if not found or found[1] not in hub.repositories:
                return self.give(404, body=body, X_Error_Code="RepoNotFound")
            name, revision = found[1], found[2] or "main"
            token = hub.closed.get(name)
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                return self.give(401, body=body, X_Error_Message="Invalid username or password.")
            commit = hub.find(name, revision)
            if commit is None:
                return self.give(404, body=body, X_Error_Code="RevisionNotFound")
            files = hub.repositories[name][commit]
            if info:
                siblings = [{"rfilename": file} for file in files]
                about = {"_id": "1", "id": name, "sha": commit, "siblings": siblings, "tags": []}
                content = json.dumps(about).encode()
                return self.give(200, content, body, Content_Type="application/json")
            if file[3] not in files:
                return self.give(404, body=body, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            self.send_file(file[3], files[file[3]], commit, body)

        def send_file(self, name: str, content: bytes, commit: str, body: bool) -> None:
            whole, code, start = len(content), 200, 0
            if asked := re.match(r"bytes=(\d+)-", self.headers.get("Range", "")):
                code, start = 206, int(asked[1])
            headers = {
                "X_Repo_Commit": commit,
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "Content_Length": str(whole - start),
                "Accept_Ranges": "bytes",
            }
            if code == 206:
                headers["Content_Range"] = f"bytes {start}-{whole - 1}/{whole}"
            end = whole
            if body and hub.cut.get(name, 0):
                hub.cut[name] -= 1
                end = (start + whole) // 2
            self.give(code, content[start:end], body, **headers)
            if body and end < whole:
                self.close_connection = True

    return Handler


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process asks, with an empty cache."""
    from huggingface_hub import constants

    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # between retries
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()

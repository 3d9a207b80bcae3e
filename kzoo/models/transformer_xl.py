"""Transformer-XL: Dai et al. 2019, arXiv:1901.02860. Segments that go on from a memory."""

import keras

from ..graphs import Recurrent
from ..values import is_whole

CLUSTERS = 12  # that rows are written for


def clamped(length, config=None):
    """The distance from which all are alike; none there may be below 0."""
    return max(length, 0) if is_whole(length) else None


def cutoffs(listed, config=None):
    """Where clusters begin, as a list of numbers."""
    return list(listed) if all(is_whole(each, 0) for each in listed) else None


@keras.saving.register_keras_serializable("kzoo")
class TransformerXl(Recurrent):
    """Transformer-XL, with an adaptive embedding and softmax, in its published size."""

    family = "transformer_xl"
    HEADS = {
        "CausalLM": "adaptive_softmax",
        "TextClassifier": {"kind": "last", "bias": False, "dropout": 0.0},
    }

    # Hugging Face, as in bert.py: transformers up to 4.57 has its classes.
    MODEL_TYPES = {"transfo-xl": "TransfoXL"}
    PREFIX = "transformer."
    CLASSES = {
        "Model": None,
        "LMHeadModel": "CausalLM",
        "ForSequenceClassification": "TextClassifier",
    }
    FIXED = {
        "embedding": "adaptive",
        "position": "relative",
        # A text begins behind zeros that are looked at, where the paper has nothing.
        "attention": {"kind": "relative", "start": "zeros"},
        "feedforward": {"kind": "mlp", "activation": "relu"},
        "norms": [],
        "pooler": "none",
        "max_sequence_length": 2**20 - 1,
    }
    LAYER = "layers.{step}.dec_attn"
    CORE = "layers.{step}.pos_ff"
    ROWS = f"""
        {LAYER}.qkv_net             block_{{step}}/attention/{{query,key,value}}
        {LAYER}.r_net               block_{{step}}/attention/relative
        {LAYER}.o_net               block_{{step}}/attention/output
        {LAYER}.r_w_bias            block_{{step}}/attention/biases/content?
        {LAYER}.r_r_bias            block_{{step}}/attention/biases/distance?
        {LAYER}.layer_norm          block_{{step}}/attention_norm
        {CORE}.CoreNet.0            block_{{step}}/feedforward/up
        {CORE}.CoreNet.3            block_{{step}}/feedforward/down
        {CORE}.layer_norm           block_{{step}}/feedforward_norm
        r_w_bias                    position/biases/content?
        r_r_bias                    position/biases/distance?
        {LAYER}.r_w_bias            =position/biases/content
        {LAYER}.r_r_bias            =position/biases/distance
        pos_emb.inv_freq            -
    """ + "\n".join(
        f"""
        word_emb.emb_layers.{i}     token_embedding/cluster_{i}?
        word_emb.emb_projs.{i}      token_embedding/projection_{i}/kernel?
        """
        for i in range(CLUSTERS)
    )
    TASK_ROWS = """
        score                head/logits             TextClassifier
        crit.cluster_weight  head/cluster/kernel?    CausalLM
        crit.cluster_bias    head/cluster/bias?      CausalLM
        crit.out_projs.0:io  head/projection/kernel? CausalLM
    """ + "\n".join(
        f"""
        crit.out_layers.{i}.bias     head/bias_{i}?                                    CausalLM
        crit.out_layers.{i}.weight   =backbone/token_embedding/cluster_{i}/embeddings  CausalLM
        """
        + (
            f"crit.out_projs.{i}  =backbone/token_embedding/projection_{i}/kernel CausalLM"
            if i
            else ""
        )
        for i in range(CLUSTERS)
    )
    CONFIG = {
        "vocab_size": ("embedding.vocabulary_size", 267735),
        "cutoffs": ("embedding.cutoffs", [20000, 40000, 200000], (cutoffs, cutoffs)),
        "d_model": ("hidden_dim", 1024),
        "d_embed": ("embedding.dim", 1024),
        "div_val": ("embedding.div_val", 4),
        "n_head": ("num_heads", 16),
        "d_head": ("head_dim", 64),
        "d_inner": ("intermediate_dim", 4096),
        "pre_lnorm": ("block", False, {False: "post_norm", True: "pre_norm"}),
        "n_layer": ("num_layers", 18),
        "mem_len": ("attention.memory_length", 1600),
        "clamp_len": ("position.clamp_length", 1000, (clamped, clamped)),
        "same_length": ("attention.same_length", True),
        "untie_r": ("position.shared", True, {True: False, False: True}),
        "dropout": ("dropout", 0.1),
        "dropatt": ("attention_dropout", 0.0),
        "init_std": ("initializer_range", 0.02),
        "layer_norm_epsilon": ("norm.epsilon", 1e-5),
        "pad_token_id": ("embedding.padding_id", lambda config: 0),
    }
    REQUIRED = {"attn_type": ((0,), 0), "proj_share_all_but_first": ((True,), True)}
    HARMLESS = """
        adaptive ext_len init init_range n_token proj_init_std sample_softmax tgt_len tie_projs
        tie_weight trainer_compatible
    """

"""Tiny random networks of exactly the classes, processors and file layout of the catalogue's rows.

`build(row, folder)` writes what the hub would send for a row, `build_helper(source, folder)` what it would send for a
helper repository. The networks say nothing that means anything; they go the way that the real ones go."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pipelines.catalog import Row

LETTERS = list(string.ascii_letters + string.digits + string.punctuation)


def build(row: Row, folder: Path) -> Path:
    """Writes the files of `row` into `folder`: the same ones each time."""
    return _written(LAYOUTS[row.id], folder)


def build_helper(source: str, folder: Path) -> Path:
    """Writes the files of a helper repository (a configuration, a tiny decoder) into `folder`."""
    return _written(HELPERS[source], folder)


def _written(layout: Callable[[Path], None], folder: Path) -> Path:
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    layout(folder)
    return folder


# Tokenizers: a letter a token


def _vocabulary(*special: str, space: str = "Ġ", end: str = "") -> dict[str, int]:
    ends = [letter + end for letter in LETTERS] if end else []
    return {token: i for i, token in enumerate([*special, space, "Ċ", *LETTERS, *ends])}


def _qwen_tokenizer(kind: str = "Qwen2Tokenizer") -> Any:
    import transformers

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vision = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = getattr(transformers, kind)(_vocabulary(*special, *vision), [], eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": [*special, *vision]})
    tokenizer.chat_template = CHATML
    return tokenizer


def _gemma_tokenizer(**tokens: str) -> Any:
    from transformers import GemmaTokenizer

    vocabulary = _vocabulary("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *tokens.values(), space="▁")
    tokenizer = GemmaTokenizer(vocabulary, [], extra_special_tokens=tokens, model_max_length=64)
    tokenizer._tokenizer.post_processor = _bos(tokenizer)
    return tokenizer


def _bos(tokenizer: Any) -> Any:
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", tokenizer.convert_tokens_to_ids("<bos>"))]
    )


def _clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer(_vocabulary("<|startoftext|>", "<|endoftext|>", end="</w>"), [], model_max_length=77)


def _bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", "a", "dog", "what", "is", "it"]
    vocabulary = dict.fromkeys([*words, *LETTERS, *(f"##{letter}" for letter in LETTERS)])
    return BertTokenizer({word: i for i, word in enumerate(vocabulary)}, model_max_length=64)


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOLVLM_CHAT = (
    "<|im_start|>{% for message in messages %}{{ message.role | capitalize }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
GEMMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}<|turn>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|image|>{% else %}{{ part.text }}{% endif %}{% endfor %}<turn|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}"
)


# Classify: the layout of open_clip


def _open_clip(folder: Path, vision: dict[str, Any], text: dict[str, Any], **model: Any) -> None:
    import open_clip
    from safetensors.torch import save_file

    config = {"embed_dim": 64, "vision_cfg": vision, "text_cfg": {"heads": 2, "layers": 1, "width": 64} | text, **model}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    more = {}
    if source := text.get("hf_model_name"):
        helper = build_helper(source, folder.parent / f"{folder.name}-text")
        more = {"text_cfg": text | {"hf_model_name": str(helper), "hf_model_pretrained": False}}
    network = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False, **more)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / OPEN_CLIP_WEIGHTS)


def _clip(folder: Path) -> None:
    vision = {"image_size": 64, "layers": 1, "width": 64, "head_width": 32, "patch_size": 32}
    _open_clip(folder, vision, {"context_length": 77, "vocab_size": 49408})


def _mobileclip2(folder: Path) -> None:
    vision = {"timm_model_name": "fastvit_mci0", "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": None}
    text = {"context_length": 77, "vocab_size": 49408, "no_causal_mask": True}
    _open_clip(folder, vision | {"timm_drop": 0.0, "timm_drop_path": 0.0, "image_size": 64}, text, custom_text=True)


def _siglip2(folder: Path) -> None:
    tokenizer = _gemma_tokenizer()
    tokenizer.save_pretrained(folder)
    text = {
        "context_length": 64, "vocab_size": len(tokenizer), "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2-256",
        "tokenizer_kwargs": {"clean": "canonicalize"}, "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"},
    }  # fmt: skip
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none"}
    _open_clip(folder, vision | {"image_size": 160}, text, custom_text=True, init_logit_bias=-10)


def _perception_encoder(folder: Path) -> None:
    vision: dict[str, Any] = {"timm_model_name": "vit_pe_core_tiny_patch16_384", "timm_pool": "map", "timm_proj": None}
    vision |= {"timm_model_pretrained": False, "image_size": 384}
    _open_clip(folder, vision, {"context_length": 32, "vocab_size": 49408}, custom_text=True)


def _xlm_clip(folder: Path) -> None:
    _xlm_tokenizer().save_pretrained(folder)
    vision = {"image_size": 64, "layers": 1, "width": 64, "head_width": 32, "patch_size": 32}
    text = {"hf_model_name": XLM, "hf_tokenizer_name": "xlm-roberta-base", "hf_pooler_type": "mean_pooler"}
    _open_clip(folder, vision, text)


def _xlm_tokenizer() -> Any:
    from transformers import XLMRobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS, "猫", "狗", "<mask>"]
    return XLMRobertaTokenizer([(piece, -1.0) for piece in pieces], model_max_length=512)


def _xlm_config(folder: Path) -> None:
    from transformers import XLMRobertaConfig

    XLMRobertaConfig(
        vocab_size=len(_xlm_tokenizer()), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=514, type_vocab_size=1, bos_token_id=0, pad_token_id=1,
        eos_token_id=2,
    ).save_pretrained(folder)  # fmt: skip


# Caption and ask: the layouts of transformers


def _saved(folder: Path, model: Any, *parts: Any) -> None:
    """A network with its processor's parts, each in a file of its own, as on the hub."""
    model.save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)


def _blip(folder: Path, kind: str = "BlipForConditionalGeneration") -> None:
    import transformers

    tokenizer = _bert_tokenizer()
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "encoder_hidden_size": 32, "intermediate_size": 32,
        "projection_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 512,
        "bos_token_id": 5, "eos_token_id": 2, "pad_token_id": 0, "sep_token_id": 3,
    }  # fmt: skip
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 32, "patch_size": 16}
    config = transformers.BlipConfig(text_config=text, vision_config=vision, projection_dim=32)
    images = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    _saved(folder, getattr(transformers, kind)(config), images, tokenizer)
    _named(folder, "BlipProcessor")


def _named(folder: Path, processor: str) -> None:
    """As repositories from before transformers 5: the processor's class is named in the image processor's file, and
    each part of it has its own file only."""
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"processor_class": processor}))
    if (path := folder / "processor_config.json").exists():
        config = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in config.items() if not isinstance(value, dict)}))


def _blip_vqa(folder: Path) -> None:
    _blip(folder, "BlipForQuestionAnswering")


def _smolvlm(folder: Path, family: str = "Idefics3") -> None:
    import transformers

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<image>"]
    special += ["<end_of_utterance>", "<global-img>", *(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))]
    tokenizer = transformers.GPT2Tokenizer(
        _vocabulary(*special), [], bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    config = getattr(transformers, f"{family}Config")(
        vision_config={
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 32, "patch_size": 8,
        },
        # room for a photo in many tiles, as they are small here
        text_config=_llama(len(tokenizer)) | {"model_type": "llama", "pad_token_id": 2, "max_position_embeddings": 2**15},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    sizes: dict[str, Any] = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    images = getattr(transformers, f"{family}ImageProcessor")(**sizes, do_image_splitting=True)
    parts = [images, tokenizer]
    more: dict[str, Any] = {}
    if family == "SmolVLM":
        more["video_processor"] = transformers.SmolVLMVideoProcessor(**sizes)
    processor = getattr(transformers, f"{family}Processor")(
        images, tokenizer, image_seq_len=4, chat_template=SMOLVLM_CHAT, **more
    )
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    _saved(folder, model, processor, *parts)
    _named(folder, f"{family}Processor")


def _smolvlm2(folder: Path) -> None:
    _smolvlm(folder, "SmolVLM")


def _llama(vocabulary: int, layers: int = 1) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": layers,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
    }  # fmt: skip


def _florence2(folder: Path) -> None:
    import transformers

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<image>"]
    tokenizer = transformers.RobertaTokenizer(
        _vocabulary(*special), [], model_max_length=1024, extra_special_tokens={"image_token": "<image>"}
    )
    vision = {
        "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
        "patch_prenorm": [False, True], "embed_dim": [8, 16], "num_heads": [1, 1], "num_groups": [1, 1],
        "window_size": 4, "projection_dim": 16,
    }  # fmt: skip
    text = {
        "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 1, "decoder_attention_heads": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
        "max_position_embeddings": 1024, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 2, "is_encoder_decoder": True,
    }  # fmt: skip
    config = transformers.Florence2Config(
        vision_config=vision, text_config=text, image_token_id=tokenizer.image_token_id
    )
    model = transformers.Florence2ForConditionalGeneration(config)
    for name, value in {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "forced_bos_token_id": 0}.items():
        setattr(model.generation_config, name, value)
    model.generation_config.decoder_start_token_id = 2
    model.generation_config.num_beams = 3
    images = transformers.CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    images.image_seq_length = 17  # 4 x 4 places and their mean
    _saved(folder, model, transformers.Florence2Processor(images, tokenizer), images, tokenizer)
    _named(folder, "Florence2Processor")


def _qwen3_vl(folder: Path) -> None:
    import transformers

    tokenizer = _qwen_tokenizer()
    text = _llama(len(tokenizer)) | {"rope_parameters": {"rope_type": "default", "mrope_section": [4, 2, 2]}}
    _qwen(folder, "Qwen3VL", tokenizer, text, {"deepstack_visual_indexes": [0]}, transformers)


def _qwen3_5(folder: Path) -> None:
    import transformers

    tokenizer = _qwen_tokenizer("Qwen3_5Tokenizer")
    text = _llama(len(tokenizer), layers=2) | {
        "layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "linear_num_key_heads": 2, "linear_num_value_heads": 2, "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.25,
            "mrope_interleaved": True,
        },
    }  # fmt: skip
    _qwen(folder, "Qwen3_5", tokenizer, text, {}, transformers)
    weights = "model.safetensors-00001-of-00001.safetensors"  # as its repository calls them
    (folder / "model.safetensors").rename(folder / weights)
    with safe_open(folder / weights, "pt") as file:
        index = {"metadata": {}, "weight_map": dict.fromkeys(file.keys(), weights)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _qwen(folder: Path, family: str, tokenizer: Any, text: dict, vision: dict, transformers: Any) -> None:
    config = getattr(transformers, f"{family}Config")(
        text_config=text,
        vision_config={
            "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32,
            "num_position_embeddings": 16, **vision,
        },
        **{
            f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
            for name, token in {
                "image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"
            }.items()
        },
    )  # fmt: skip
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model.generation_config.pad_token_id = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    limits = {"patch_size": 16, "size": {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}}
    images = transformers.Qwen2VLImageProcessor(**limits)
    video = transformers.Qwen3VLVideoProcessor(patch_size=16)
    _saved(folder, model, images, tokenizer, video)
    _named(folder, "Qwen3VLProcessor")


def _gemma4(folder: Path) -> None:
    import transformers

    tokens = {
        "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
        "boa_token": "<|audio>", "eoa_token": "<audio|>", "eot_token": "<turn|>", "sot_token": "<|turn>",
    }  # fmt: skip
    tokenizer = _gemma_tokenizer(**tokens)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|video|>"]})
    images = transformers.Gemma4ImageProcessor(max_soft_tokens=70)
    processor = transformers.Gemma4Processor(
        transformers.Gemma4AudioFeatureExtractor(), images, tokenizer, transformers.Gemma4VideoProcessor(),
        chat_template=GEMMA_CHAT, image_seq_length=70,
    )  # fmt: skip
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    heads = {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 16}
    names = {"image": "image", "audio": "audio", "boi": "boi", "eoi": "eoi", "boa": "boa"}
    config = transformers.Gemma4Config(
        text_config={
            **small, **heads, "num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"],
            "vocab_size": len(tokenizer), "vocab_size_per_layer_input": len(tokenizer), "global_head_dim": 16,
            "hidden_size_per_layer_input": 8,
        },
        vision_config={**small, **heads, "num_key_value_heads": 2},
        audio_config={**small, "subsampling_conv_channels": [8, 4], "output_proj_dims": 32},
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(tokens[f"{key}_token"]) for name, key in names.items()},
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
    )  # fmt: skip
    model = transformers.Gemma4ForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(["<eos>", "<turn|>"])
    model.generation_config.pad_token_id = 0
    _saved(folder, model, processor)


# Generate: the layouts of diffusers


def _clip_text(kind: str = "CLIPTextModel") -> Any:
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=len(_clip_tokenizer()), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, projection_dim=32, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return getattr(transformers, kind)(config)


def _vae(latents: int = 4, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[8, 8, 8, 8], layers_per_block=1, norm_num_groups=4, latent_channels=latents, **more,
    )  # fmt: skip


def _unet(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**{
        "sample_size": 64, "block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 2,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "norm_num_groups": 4,
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "cross_attention_dim": 32, **more,
    })  # fmt: skip


def _sd_turbo(folder: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    StableDiffusionPipeline(
        _vae(), _clip_text(), _clip_tokenizer(), _unet(), scheduler, None, None, requires_safety_checker=False
    ).to(torch.float16).save_pretrained(folder, variant="fp16")


def _lcm(folder: Path) -> None:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config={**small, "image_size": 32, "patch_size": 16}, text_config=small, projection_dim=32)
    )
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LatentConsistencyModelPipeline(
        _vae(), _clip_text(), _clip_tokenizer(), _unet(time_cond_proj_dim=16), LCMScheduler(), checker, images
    ).save_pretrained(folder)


def _sdxl_turbo(folder: Path) -> None:
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline

    unet = _unet(
        cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 32, transformer_layers_per_block=[1, 1],
    )  # fmt: skip
    StableDiffusionXLPipeline(
        _vae(force_upcast=True), _clip_text(), _clip_text("CLIPTextModelWithProjection"), _clip_tokenizer(),
        _clip_tokenizer(), unet, EulerAncestralDiscreteScheduler(timestep_spacing="trailing"),
    ).to(torch.float16).save_pretrained(folder, variant="fp16")  # fmt: skip


def _sana_sprint(folder: Path) -> None:
    from diffusers import AutoencoderDC, SanaSprintPipeline, SanaTransformer2DModel, SCMScheduler
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = _gemma_tokenizer()
    channels = {f"{half}_block_out_channels": [8] * 6 for half in ("encoder", "decoder")}
    layers = {f"{half}_layers_per_block": [1] * 6 for half in ("encoder", "decoder")}
    scales: dict[str, Any] = {f"{half}_qkv_multiscales": [[]] * 6 for half in ("encoder", "decoder")}
    transformer = SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1, caption_channels=32,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, sample_size=32,
        guidance_embeds=True, qk_norm="rms_norm_across_heads",
    )  # fmt: skip
    SanaSprintPipeline(
        tokenizer, Gemma2Model(Gemma2Config(**_llama(len(tokenizer)))),
        AutoencoderDC(latent_channels=4, attention_head_dim=8, **channels, **layers, **scales), transformer,
        SCMScheduler(),
    ).save_pretrained(folder)  # fmt: skip


def _z_image(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = _qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        dim=16, n_layers=1, n_refiner_layers=1, n_heads=1, n_kv_heads=1, cap_feat_dim=32, axes_dims=[4, 6, 6]
    )
    ZImagePipeline(
        FlowMatchEulerDiscreteScheduler(shift=3.0), _vae(16, scaling_factor=0.3611, shift_factor=0.1159),
        Qwen3Model(Qwen3Config(**_llama(len(tokenizer), layers=2))), tokenizer, transformer,
    ).save_pretrained(folder)  # fmt: skip


def _flux2_klein(folder: Path) -> None:
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = _qwen_tokenizer()
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=1,
        joint_attention_dim=96, timestep_guidance_channels=8, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4)
    text = Qwen3ForCausalLM(Qwen3Config(**_llama(len(tokenizer), layers=28)))  # the pipeline reads layers 9, 18, 27
    Flux2KleinPipeline(
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae, text, tokenizer, transformer, is_distilled=True
    ).save_pretrained(folder)


def _tiny_decoder(latents: int) -> Callable[[Path], None]:
    def layout(folder: Path) -> None:
        from diffusers import AutoencoderTiny

        blocks = {f"{half}_block_out_channels": (8, 8, 8, 8) for half in ("encoder", "decoder")}
        AutoencoderTiny(latent_channels=latents, **blocks).save_pretrained(folder)

    return layout


OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
XLM = "FacebookAI/xlm-roberta-base"
LAYOUTS: dict[str, Callable[[Path], None]] = {
    "clip-b32": _clip,
    "mobileclip2-s0": _mobileclip2,
    "siglip2-b16": _siglip2,
    "clip-xlm-roberta": _xlm_clip,
    "pe-core-l14": _perception_encoder,
    "siglip2-so400m": _siglip2,
    "blip-base": _blip,
    "blip-large": _blip,
    "blip-vqa": _blip_vqa,
    "smolvlm-256m": _smolvlm,
    "smolvlm-500m": _smolvlm,
    "smolvlm2-2b": _smolvlm2,
    "florence2-base": _florence2,
    "qwen3-vl-2b": _qwen3_vl,
    "qwen3.5-0.8b": _qwen3_5,
    "gemma4-e2b": _gemma4,
    "sd-turbo": _sd_turbo,
    "lcm-dreamshaper": _lcm,
    "sdxl-turbo": _sdxl_turbo,
    "sana-sprint": _sana_sprint,
    "z-image-turbo": _z_image,
    "flux2-klein": _flux2_klein,
}
HELPERS: dict[str, Callable[[Path], None]] = {
    XLM: _xlm_config,
    "madebyollin/taesd": _tiny_decoder(4),
    "madebyollin/taesdxl": _tiny_decoder(4),
    "madebyollin/taef1": _tiny_decoder(16),
}

"""The command line: flags and `QUARTET_…` variables become settings, the page, and a server."""

import argparse
import logging
import os
import socket
from collections.abc import Sequence

LANGUAGES = ("auto", "en", "zh")  # auto: the visitor's own; those of assets/texts
SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
TASKS = ("classify", "caption", "ask", "generate")


def parser() -> argparse.ArgumentParser:
    """Every flag has an environment variable, `QUARTET_` and its name in capitals; a flag wins over its variable. Where
    Gradio's own say where to listen, as on a Space, they are the defaults."""
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1")
    port = os.environ.get("GRADIO_SERVER_PORT") or 7860
    made = argparse.ArgumentParser(
        prog="app.py",
        description="Quartet: four tabs to try foundation models on your own photos and words.",
        epilog="Each flag can be set by a variable instead: --port by QUARTET_PORT, --classify-model by "
        "QUARTET_CLASSIFY_MODEL and so on.",
    )
    made.add_argument("--host", default=host, help="address to listen on (0.0.0.0: all) [%(default)s]")
    made.add_argument("--port", type=_port, default=port, help="port to listen on [%(default)s]")
    made.add_argument("--share", action=argparse.BooleanOptionalAction, default=False, help="also make a public link")
    made.add_argument("--auth", metavar="NAME:PASSWORD", type=_login, help="ask visitors for this name and password")
    made.add_argument(
        "--language",
        type=_language,
        default="auto",
        help="language of the page: en, zh, or auto for each visitor's own [%(default)s]",
    )
    for task in TASKS:
        made.add_argument(f"--{task}-model", metavar="ID", help=f"the model that {task} starts with")
    made.add_argument(
        "--preset", choices=("bundled", "cpu", "gpu"), help="the model that each task starts with, where none is named"
    )
    made.add_argument(
        "--any-model",
        action=argparse.BooleanOptionalAction,
        help="let visitors type the name of any hub model [only on this machine's own page]",
    )
    made.add_argument("--models", metavar="FOLDER", type=_folder, help="folder of the bundled models [assets/models]")
    made.add_argument(
        "--memory", metavar="GB", type=_positive, help="memory that models may take [a share of what is free]"
    )
    made.add_argument("--device", choices=("cuda", "mps", "cpu"), help="where to compute [the best there is]")
    made.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="number type [measured at start]")
    made.add_argument(
        "--warm", action=argparse.BooleanOptionalAction, default=True, help="load the default models at once"
    )
    return made


def _login(given: str) -> tuple[str, str]:
    name, colon, password = given.partition(":")
    if not (name and colon and password):
        raise argparse.ArgumentTypeError("give a name and a password with a colon between them: name:password")
    return name, password


def _port(given: str) -> int:
    if not (given.isdecimal() and int(given) < 65536):
        raise argparse.ArgumentTypeError(f"give a port from 0 to 65535, not {given}")
    return int(given)


def _folder(given: str) -> str:
    if not os.path.isdir(given):
        raise argparse.ArgumentTypeError(f"there is no folder {given}")
    return given


def _positive(given: str) -> float:
    if not (given.replace(".", "", 1).isdecimal() and float(given) > 0):
        raise argparse.ArgumentTypeError(f"give a number of GB above 0, not {given}")
    return float(given)


def _language(given: str) -> str:
    if given not in LANGUAGES:
        raise argparse.ArgumentTypeError(f"there is {' and '.join(LANGUAGES)}, not {given}")
    return given


def settings(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags, with what the environment says for those that are not given."""
    made = parser()
    given = {}
    for action in made._actions:
        value = os.environ.get(f"QUARTET_{action.dest.upper()}")
        if value and action.dest != "help":
            switch = isinstance(action, argparse.BooleanOptionalAction)
            if switch and value.lower() not in SWITCHES:
                made.error(f"QUARTET_{action.dest.upper()} is {' or '.join(SWITCHES)}, not {value}")
            given[action.dest] = SWITCHES[value.lower()] if switch else value
    made.set_defaults(**given)
    return made.parse_args(arguments)


def any_model(chosen: argparse.Namespace) -> bool:
    """Whether visitors may type the names of models: strangers would fill the disk."""
    if chosen.any_model is not None:
        return bool(chosen.any_model)
    strangers = chosen.share or "SPACE_ID" in os.environ
    return not strangers and chosen.host in ("127.0.0.1", "::1", "localhost")


def _ours(host: str) -> bool:
    """Whether a program on this machine may listen at an address."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = settings(arguments)
    if not _ours(chosen.host):
        raise SystemExit(
            f"This machine has no address {chosen.host}. Leave --host (QUARTET_HOST) out, or give it 127.0.0.1."
        )
    for name, value in vars(chosen).items():  # the pipelines read their settings from the environment
        if value not in (None, False) and name not in ("host", "port", "share", "auth"):
            os.environ[f"QUARTET_{name.upper()}"] = str(value)
    os.environ["QUARTET_ANY_MODEL"] = "1" if any_model(chosen) else "0"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    for noisy in ("httpx", "httpx2", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

    from pipelines import UserError  # before gradio: it sets how the hub's client fetches
    from ui import jobs, page

    models = {task: getattr(chosen, f"{task}_model") for task in TASKS}
    try:
        demo = page.build(page.Settings(models))
        if chosen.device or chosen.precision:
            from pipelines import device

            device.pick()
    except UserError as error:  # no such model, preset, device or precision
        raise SystemExit(error.sentence()) from error
    try:
        demo.launch(
            server_name=f"[{chosen.host}]" if ":" in chosen.host else chosen.host,  # an address of IPv6
            server_port=chosen.port,
            share=chosen.share,
            auth=chosen.auth,
            max_file_size="40mb",  # above our own limit of 32 MiB, whose refusal is a sentence
            max_threads=100,
            mcp_server=True,
            ssr_mode=False,
            show_error=True,
            prevent_thread_lock=True,
            quiet=True,
            enable_monitoring=False,  # it is open to strangers
            **page.LOOK,
        )
    except OSError as error:
        other = chosen.port + (1 if chosen.port < 65535 else -1)
        taken = f"Quartet can't listen on port {chosen.port} of {chosen.host}: another program may. Try --port {other}."
        raise SystemExit(taken) from error
    print(f"Quartet is at {demo.local_url}" + (f" and {demo.share_url}" if demo.share_url else ""), flush=True)
    if chosen.share and not demo.share_url:
        print("No public link could be made (no way out to the tunnel); the page goes on on this machine.", flush=True)
    if chosen.warm:
        jobs.warm(models)
    demo.block_thread()


if __name__ == "__main__":
    main()
    os._exit(0)  # a job that still computes, in a thread of torch's, would end the process with an abort

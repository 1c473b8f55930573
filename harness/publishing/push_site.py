"""A site that was built, on the hub as a static Space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xlift.harness.publishing import hub
from xlift.harness.publishing.hub import Pushed, PushPlan, Target
from xlift.harness.publishing.package import README, File, check_name, scan
from xlift.leaderboard.site.builder import list_files, owns

CARD = """---
title: xlift leaderboard
sdk: static
app_file: index.html
pinned: false
---

Which method lifts a language model most in which language, how surely and at what cost.
Made by `xlift site` from result folders; its data are below `data/`.
"""


def plan_site(folder: Path, target: Target) -> PushPlan:
    """What ``send_site`` would send. No server is asked."""
    return hub.plan(replace(target, kind="space"), _collect(folder, target))


def send_site(folder: Path, target: Target) -> Pushed:
    """Send the site in ``folder`` as one commit to a Space. Pages that the site no longer has are deleted there.

    Raises UserError for a folder that is no site, a malformed name, and a file that contains a path of this machine or a secret.
    """
    return hub.push(replace(target, kind="space"), _collect(folder, target), "Leaderboard, made by xlift", owns)


def _collect(folder: Path, target: Target) -> list[File]:
    """The files of a site and the Space's card, and no other file in the folder."""
    check_name(target.repository)
    files = [File(README, CARD.encode()), *(File(name, folder / name) for name in list_files(folder))]
    for file in files:
        scan(file, paths=not file.path.startswith(("samples/", "data/")))  # what a model wrote may well look like a path
    return files

"""Tries lives of an installation: what it shows as current is what a fresh one computes, or it says that it is behind.

A Hypothesis state machine lands, edits, deletes and copies batches, ingests, trains, promotes, rolls back, scores, sums
up, exports, forgets, restores, kills, steps the clock and lets two work at once, in any order. After each step the
judge's word is held against a second installation that reads the same bytes with the same model from an empty folder.
`test_lives.py` and `benchmarks/lives.py` run it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tcell_assets.commands.forget import forget_batch, restore_batch
from tcell_assets.commands.platform import RunFailedError
from tcell_assets.exports.currentness import BehindError
from tcell_assets.exports.report_figures import loss
from tcell_assets.installation.operations import what_batch_needs
from tcell_assets.lake.archive import forgotten_batches
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.models import UnknownModelError
from tcell_assets.lake.tables import TABLES
from tcell_assets.science.model.trained_model import HISTORY
from tcell_assets.system.files import leftovers
from tcell_assets_tests.operations.small_installation import CORE_INGEST, training
from tcell_assets_tests.robustness.dying_processes import dies_at, in_processes
from tcell_assets_tests.robustness.fresh_installation import (
    BATCHES,
    EDITS,
    SCORE_TABLES,
    SCREEN_TABLES,
    Content,
    Ingested,
    Oracle,
    at_look,
    batches_in_screen,
    claims_of,
    code_raised,
    edit_alike,
    export_of,
    ingest,
    land,
    look_at,
    opened,
    quietly,
    report_data,
    report_of,
    require,
    score,
    sum_up,
    versions_in,
)

DAY = 86_400.0
A_NAME = st.sampled_from(BATCHES)
AN_EDIT = st.sampled_from(EDITS)
BEGINNINGS = ["empty", "ingested", "whole", "whole", "half scored"]
# Which of those there are.
ONE = st.integers(0, len(BATCHES) - 1)
ACTS = st.sampled_from(["ingest", "score", "screen", "forget", "restore", "train"])
ACTS_OF_TWO = st.sampled_from(["ingest", "score", "screen", "promote", "roll back"])
A_MOMENT = st.sampled_from(["before", "half", "after"])


class Lives(RuleBasedStateMachine):
    """The life of one installation, and the rule that must hold at every moment of it.

    Class attributes are set by who runs it: the folder, the oracle, how the code is broken and put right.
    """

    root: Path
    oracle: Oracle
    broken: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    steps: dict[str, int] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(type(self).broken())
        shutil.rmtree(self.root / "lived", ignore_errors=True)
        self.platform = self._stack.enter_context(opened(self.root / "lived"))
        self.lake, self.models = self.platform.storage.lake(), self.platform.storage.models()
        self.data = self.platform.configuration.data
        self.landed: dict[str, Content] = {}
        # What the tables of a batch were read from; None where a killed run left those of two contents.
        self.read: dict[str, Content | None] = {}
        self.archived: dict[str, Content | None] = {}
        self.clock = 0.0
        self._verified: set[tuple[str, int, int]] = set()

    def teardown(self) -> None:
        """Close the installation."""
        self._stack.close()

    def did(self, what: str) -> None:
        """Count a step."""
        self.steps[what] = self.steps.get(what, 0) + 1

    def _ingested(self, name: str, content: Content, said: str) -> None:
        # A copy of another batch is written and then blocked by its check.
        if not said or "holds the same data" in said:
            self.read[name] = content

    @initialize(how=st.sampled_from(BEGINNINGS), edits=st.tuples(AN_EDIT, AN_EDIT))
    def begin(self, how: str, edits: tuple[int, int]) -> None:
        """An empty installation, one with two batches, one that is current, or one that a second model half scored."""
        self.did("begin")
        if how == "empty":
            return
        kept = self.root / "begun" / f"{how}{edits[0]}{edits[1]}"
        parts = [Path(self.platform.configuration.storage), self.data]
        for name, edit in zip(BATCHES, edits, strict=False):
            self.landed[name] = self.read[name] = Content(name, edit)
        if kept.exists():
            for part in parts:
                shutil.rmtree(part, ignore_errors=True)
                shutil.copytree(kept / part.name, part)
            return
        for name, content in self.landed.items():
            land(self.data, name, content)
            ingest(self.platform, name)
        if how != "ingested":
            self._train(1)
            self._bring_up_to_date()
        if how == "half scored":
            self._train(2)
            score(self.platform, "tc1")
        for part in parts:
            shutil.copytree(part, kept / part.name)

    @rule(name=A_NAME, source=A_NAME, own=st.integers(0, 3), edit=AN_EDIT)
    def lands(self, name: str, source: str, own: int, edit: int) -> None:
        """A batch comes, or another content in its place; one time in four perhaps another batch's data."""
        self.did("land")
        self.landed[name] = Content(source if own == 0 else name, edit)
        land(self.data, name, self.landed[name])

    @precondition(lambda self: self.landed)
    @rule(choice=ONE, edit=AN_EDIT)
    def edited_alike(self, choice: int, edit: int) -> None:
        """Files change and keep their sizes and times."""
        self.did("edit at equal size and time")
        name = sorted(self.landed)[choice % len(self.landed)]
        self.landed[name] = Content(self.landed[name].source, edit)
        edit_alike(self.data, name, self.landed[name])

    @precondition(lambda self: self.landed)
    @rule(choice=ONE)
    def landing_deleted(self, choice: int) -> None:
        """A landing folder goes."""
        self.did("delete landing")
        name = sorted(self.landed)[choice % len(self.landed)]
        del self.landed[name]
        shutil.rmtree(self.data / name)

    @precondition(lambda self: self._readable())
    @rule(choice=ONE)
    def ingests(self, choice: int) -> None:
        """A batch is read."""
        self.did("ingest")
        name = self._readable()[choice % len(self._readable())]
        self._ingested(name, self.landed[name], ingest(self.platform, name))

    @precondition(lambda self: self._readable())
    @rule(choice=ONE, edit=AN_EDIT, at=st.integers(0, 3))
    def ingests_while_files_change(self, choice: int, edit: int, at: int) -> None:
        """Files change, sizes and times kept, between two looks at them while a batch is read."""
        self.did("ingest while files change")
        name = self._readable()[choice % len(self._readable())]
        before, after = self.landed[name], Content(self.landed[name].source, edit)
        with at_look(at, lambda: edit_alike(self.data, name, after)) as looks:
            said = ingest(self.platform, name)
        if len(looks) <= at:
            self._ingested(name, before, said)
            return
        self.landed[name] = after
        if said:
            return
        self.read[name] = after
        state = next(batch for batch in look_at(self.platform, time.time())[0].batches if batch.batch == name)
        if state.state not in ("current", "ingested", "behind") or "plate files" in state.why:
            self._ingested(name, after, ingest(self.platform, name))

    @precondition(lambda self: self._usable())
    @rule(choice=ONE)
    def scores(self, choice: int) -> None:
        """A batch is scored."""
        self.did("score")
        score(self.platform, self._usable()[choice % len(self._usable())])

    @precondition(lambda self: self._usable() or (self.read and self.models.current() is None))
    @rule()
    def sums_up(self) -> None:
        """The screen job runs, whether anything asks for it or not."""
        self.did("screen")
        sum_up(self.platform)

    @precondition(lambda self: self.read)
    @rule(seed=st.integers(1, 2))
    def trains(self, seed: int) -> None:
        """A model is trained and promoted."""
        self.did("train")
        self._train(seed)

    def _train(self, seed: int) -> None:
        with contextlib.suppress(RunFailedError), contextlib.redirect_stderr(io.StringIO()):
            self.platform.run("train", config=training(seed=seed, validation_tolerance=1e6))

    @precondition(lambda self: len(self.models.versions()) > 1)
    @rule(choice=st.integers(0, 5))
    def promotes(self, choice: int) -> None:
        """Somebody makes another model current."""
        self.did("promote")
        versions = self.models.versions()
        self.models.promote(versions[choice % len(versions)], "somebody", "a test")

    @precondition(lambda self: len(self.models.versions()) > 1)
    @rule()
    def rolls_back(self) -> None:
        """Somebody takes the latest promotion back."""
        self.did("roll back")
        with contextlib.suppress(UnknownModelError):
            self.models.rollback("somebody", "a test")

    @precondition(lambda self: self.read)
    @rule(choice=ONE)
    def forgets(self, choice: int) -> None:
        """A batch leaves the screen."""
        self.did("forget")
        name = sorted(self.read)[choice % len(self.read)]
        quietly(lambda: forget_batch(self.platform, name))
        self.archived[name] = self.read.pop(name)

    @precondition(lambda self: self.archived)
    @rule(choice=ONE)
    def restores(self, choice: int) -> None:
        """A batch comes back."""
        self.did("restore")
        name = sorted(self.archived)[choice % len(self.archived)]
        quietly(lambda: restore_batch(self.platform, name))
        self.read[name] = self.archived.pop(name)

    @rule()
    def brings_up_to_date(self) -> None:
        """What is behind is mended as status says, and then nothing is behind."""
        self.did("bring up to date")
        self._bring_up_to_date()

    @rule(days=st.sampled_from([-2.0, 0.0, 0.0, 400.0]), seed=st.integers(0, 99))
    def clock_steps(self, days: float, seed: int) -> None:
        """The clock is set, and the lake's files bear any times, as after a restore from a backup."""
        self.did("clock step")
        self.clock = days * DAY
        chance = random.Random(seed)
        for path in sorted(Path(str(self.lake.root)).rglob("*.parquet")):
            when = chance.uniform(0, 2e9)
            os.utime(path, (when, when))

    @precondition(lambda self: self.read)
    @rule(asset=st.sampled_from([*CORE_INGEST, *SCORE_TABLES, *SCREEN_TABLES]))
    def code_is_raised(self, asset: str) -> None:
        """The package's code for a table is another now; here for this moment alone."""
        self.did("raise a code version")
        with code_raised(asset):
            self.current_is_current()

    @precondition(lambda self: self._readable())
    @rule(what=ACTS, choice=ONE, at=st.integers(0, 12), moment=A_MOMENT)
    def killed(self, what: str, choice: int, at: int, moment: str) -> None:
        """A process is killed before, in the middle of or after its n-th write; the next command clears up."""
        self.did(f"kill {what}")
        name = self._readable()[choice % len(self._readable())]
        if what == "forget" and name not in self.read:
            return
        if what == "restore":
            if not self.archived:
                return
            name = sorted(self.archived)[0]
        self.platform.register_landed_batches()
        (code,) = in_processes(lambda: dies_at(at, moment), self._act(what, name))
        self.platform.clear_up()
        require(not leftovers(self.lake.root.parent), "a killed writer's leftovers are swept")
        for asset, place in versions_in(self.lake, list(TABLES)):
            self._verify(asset, place)
        require(not self.models.damaged(), "no model is half there")
        is_forgotten = name in forgotten_batches(self.lake)
        if what == "forget" and is_forgotten:
            self.archived[name] = self.read.pop(name)
        if what == "restore" and not is_forgotten:
            self.read[name] = self.archived.pop(name)
        if what == "ingest" and self.read.get(name) != self.landed[name]:
            self.read[name] = self.landed[name] if code == 0 else None
            if not any(self.lake.exists(asset, name) for asset in CORE_INGEST):
                del self.read[name]

    @precondition(lambda self: self._readable())
    @rule(pair=st.lists(ACTS_OF_TWO, min_size=2, max_size=2))
    def two_at_once(self, pair: list[str]) -> None:
        """Two processes work on one installation."""
        self.did("two at once")
        name = self._readable()[0]
        moves = len(self.models.promotions())
        self.platform.register_landed_batches()
        in_processes(contextlib.nullcontext, *(self._act(what, name) for what in pair))
        wanted = sum(what in ("promote", "roll back") for what in pair) * bool(self.models.versions())
        require(len(self.models.promotions()) == moves + wanted, "no promotion of two at once is lost")
        if "ingest" in pair:
            self._ingested(name, self.landed[name], ingest(self.platform, name))

    @precondition(lambda self: self.read)
    @rule()
    def report_is_opened(self) -> None:
        """The report shows what a fresh one shows, or its top says what is not current."""
        self.did("report")
        status, judge = look_at(self.platform, time.time())
        report = report_of(self.platform, status)
        data = report_data(report)
        if judge.model is not None:
            history = pd.read_parquet(io.BytesIO((self.models.folder(judge.model) / HISTORY).read_bytes()))
            require(data["loss"] == json.loads(json.dumps(loss(history))), "the loss is the shown model's")
            wells = set(data.get("wells", {}).get("batch", ()))
            scored = set(judge.batches("latent_embeddings"))
            require(wells <= (scored or set(self.read)), "the report shows batches of one model")
        if "Not everything here is current" in report:
            return
        late = [batch.batch for batch in status.batches if batch.next_step]
        late += [found.asset for found in status.screen if self.lake.exists(found.asset)]
        require(not late, f"a report that says nothing shows nothing that is behind, not {late[:3]}")
        if not status.is_current:
            # Tables that are not made yet; each section says so in the place of what it would show.
            return
        self._require_shown(judge, data, None)

    @precondition(lambda self: self.read)
    @rule()
    def exported(self) -> None:
        """An export is refused with what is behind, or holds what a fresh one holds."""
        self.did("export")
        judge = look_at(self.platform, time.time())[1]
        try:
            held = export_of(self.platform, judge)
        except BehindError:
            return
        if held:
            self._require_shown(judge, None, held)

    def _require_shown(self, judge: Judge, data: Any, held: Any) -> None:
        require(
            self.read == {n: c for n, c in self.landed.items() if n in self.read},
            "what is shown is what landed",
        )
        contents = self._contents(judge)
        reference = self.oracle.of(contents, self.models, judge.model, with_screen=True)
        report, exported = self.oracle.shown(reference)
        if data is not None:
            require(
                data == report, f"the report differs in {[k for k in report if report[k] != data.get(k)]}"
            )
        if held is not None:
            # Before hits are called an export holds none, and no well its class.
            of_hits = () if self.lake.exists("hit_calls") else ("wells", "hits")
            different = [name for name in exported if name not in of_hits and exported[name] != held[name]]
            require(not different, f"the export differs in {different}")

    @invariant()
    def current_is_current(self) -> None:
        """Whatever the judge calls current equals what a fresh installation makes."""
        if not self.read and not self.landed:
            return
        status, judge = look_at(self.platform, time.time() + self.clock)
        states = {batch.batch: batch for batch in status.batches}
        waiting = {name for name, batch in states.items() if batch.state == "waits"}
        for name in self.landed:
            require(name in states or name in self.archived, f"{name} landed and status names it")
        for name, batch in states.items():
            require(
                batch.state in ("current", "ingested") or bool(batch.why), f"{name} is behind and says why"
            )
        for name, content in self.read.items():
            if name not in self.landed:
                require(
                    states[name].state == "gone", f"the landing folder of {name} is gone and status says so"
                )
            elif content != self.landed[name] and name not in waiting:
                require(
                    states[name].state not in ("current", "ingested"),
                    f"{name} was changed and status says so",
                )
        claimed = claims_of(judge)
        of_screen = [place for place in claimed if place[1] is None]
        mixed = [name for name, content in self.read.items() if content is None]
        changed = [
            name
            for name, content in self.read.items()
            if name not in waiting and self.landed.get(name) != content
        ]
        require(
            not (of_screen and set(changed) & set(batches_in_screen(judge))),
            f"{of_screen[0][0]} is called current and rests on {changed}" if of_screen else "",
        )
        if mixed:
            return
        contents = self._contents(judge)
        if not claimed:
            return
        reference = self.oracle.of(contents, self.models, judge.model, with_screen=bool(of_screen))
        for asset, of in claimed:
            if of in changed:
                continue
            lineage = self.lake.lineage(asset, of)
            name = f"{asset} of {of}" if of else asset
            require(
                lineage.data_version == reference.tables.get((asset, of)),
                f"{name} is called current and is not what a fresh installation makes",
            )
            require(lineage.code_version == TABLES[asset].code_version, f"{name} is of the package's code")
            self._verify(asset, of)

    def _verify(self, asset: str, batch: str | None) -> None:
        path = Path(str(self.lake.path(asset, batch)))
        known = (str(path), path.stat().st_ino, path.stat().st_size)
        if known not in self._verified:
            self.lake.verify(asset, batch)
            self._verified.add(known)

    def _contents(self, judge: Judge) -> dict[str, Ingested]:
        """Return what each batch was read from and whether it is scored, in the order in which batches first came."""
        arrivals = {
            name: (int(self.lake.lineage("expression_matrix", name).details["arrival"]), name)
            for name, content in self.read.items()
            if content is not None and self.lake.exists("expression_matrix", name)
        }
        scored = judge.batches("latent_embeddings")
        return {
            name: Ingested(content, name in scored)
            for name in sorted(arrivals, key=arrivals.__getitem__)
            if (content := self.read[name])
        }

    def _act(self, what: str, name: str) -> Callable[[], object]:
        """Return what a process of its own does."""
        versions = self.models.versions()
        acts: dict[str, Callable[[], object]] = {
            "ingest": lambda: ingest(self.platform, name),
            "score": lambda: score(self.platform, name),
            "screen": lambda: sum_up(self.platform),
            "forget": lambda: forget_batch(self.platform, name),
            "restore": lambda: restore_batch(self.platform, name),
            "train": lambda: self._train(7),
            "promote": lambda: versions and self.models.promote(versions[-1], "one of two", "a test"),
            "roll back": lambda: versions and self.models.promote(versions[0], "one of two", "a test"),
        }
        return acts[what]

    def _readable(self) -> list[str]:
        return sorted(name for name in self.landed if name not in self.archived)

    def _usable(self) -> list[str]:
        if self.models.current() is None:
            return []
        return sorted(
            name for name, content in self.read.items() if content and self.lake.exists("well_qc", name)
        )

    def _bring_up_to_date(self) -> None:
        for name in self._readable():
            judge = look_at(self.platform, time.time())[1]
            work = what_batch_needs(judge, name)
            if work.needs_ingest:
                self._ingested(name, self.landed[name], ingest(self.platform, name))
            if work.stale and judge.model:
                score(self.platform, name)
        judge = look_at(self.platform, time.time())[1]
        if judge.screen_needs():
            sum_up(self.platform)
        status, judge = look_at(self.platform, time.time())
        sources = [content.source for content in self.landed.values()]
        if len(set(sources)) == len(sources) and set(self.read) <= set(self.landed):
            late = [
                f"{batch.batch}: {batch.state}: {batch.why}" for batch in status.batches if batch.next_step
            ]
            late += [found.sentence for found in status.screen if batches_in_screen(judge)]
            require(not late, f"after everything was made nothing is behind, not {late[:3]}")

"""N4: after any actions and losses, a page that was kept up to date by changes equals a freshly loaded one.
The real actions, runner, subscriptions and renderer, in one process; the machine controls the provider, the
network and the viewers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from chat.access import NotFoundError
from chat.actions.branch import branch_conversation
from chat.actions.comparison import compare_reply, keep_reply
from chat.actions.conversation import rename_conversation
from chat.actions.errors import ActionError
from chat.actions.folder import change_folder, make_folder, move_conversation
from chat.actions.message import delete_message, restore_message
from chat.actions.preset import PresetContent, change_preset, choose_preset, make_preset
from chat.actions.reply import continue_reply, retry_reply, stop_reply
from chat.actions.saved_prompt import make_saved_prompt
from chat.actions.selection import (
    archive_conversations,
    delete_conversations,
    move_conversations,
    restore_conversations,
    tag_conversations,
    untag_conversations,
)
from chat.actions.send import send_message
from chat.actions.share import continue_share, make_share, range_of
from chat.actions.tag import tag_conversation, untag_conversation
from chat.actions.variant import show_message, show_variant, undo_replacement
from chat.actor import SessionClaim
from chat.database import run_unit
from chat.live.changes import CommittedChange
from chat.live.process import process_name
from chat.live.pubsub import PubSub
from chat.live.session_monitor import Viewer
from chat.models import LIVE, ChatModel, Endpoint, Folder, Generation, Message, Preset, SavedPrompt, User
from chat.providers import registry
from chat.providers.events import Outcome
from chat.runtime import Runtime, install
from chat.transports import feed
from tests.faults.dom import Node, parse, swap
from tests.live.scripted import ACCOUNT, ScriptedProvider
from tests.services import LONG

PIECES = (
    "Hello",
    " **bold",
    "** and",
    " more\n",
    "\n",
    "- item\n",
    "```py\nx = 1\n",
    "```\n",
    "| a | b |\n",
    "$x$ ",
    "ü" * 5,
)
PATIENCE = 60.0  # seconds; each check is requested, so this only stops a test that would never end
EXAMPLES = 300 if LONG else 10 if settings.SQLITE else 3  # the second time, on PostgreSQL, as a sample


def show_another_version(user: User, message_id: UUID) -> None:
    message = Message.objects.get(pk=message_id)
    others = Message.objects.filter(conversation=message.conversation, parent=message.parent, shown=False)
    for other in others:
        show_variant(user, message_id, other.pk)
        return


class Tab:
    """An open page of a user. `sse` resumes with the id of its last event, a socket with the revision on the
    page. Data that was sent and has not arrived is lost with the connection."""

    def __init__(self, world: World, *, sse: bool) -> None:
        self.world, self.sse = world, sse
        self.dom = world.fresh_page()
        self.last_event = self.revision
        self.arriving: list[tuple[str, int | None]] = []
        self.task: asyncio.Task[None] | None = None

    @property
    def revision(self) -> int:
        return int(self.dom.get("#revision").attributes["value"])

    def connect(self) -> None:
        revision = self.last_event if self.sse else self.revision
        self.task = self.world.loop.create_task(self._listen(revision))

    async def _listen(self, revision: int) -> None:
        world = self.world
        viewer = Viewer(
            SessionClaim(world.user.pk, world.client.session.session_key or "", world.session_hash)
        )
        stream = feed.frames(viewer, world.conversation_id, revision, "en")
        async for frame in stream:
            for update in frame.updates:
                is_last = update is frame.updates[-1]
                self.arriving.append((update, frame.revision if is_last else None))
            world.moved.set()

    def receive(self, count: int) -> None:
        for step, event_id in self.arriving[:count]:
            swap(self.dom, step)
            if event_id is not None:
                self.last_event = event_id
        del self.arriving[:count]

    def cut(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                self.world.loop.run_until_complete(self.task)
            self.task = None
        self.arriving.clear()

    def shown(self) -> str:
        return _shown(self.dom)


class World(RuleBasedStateMachine):
    loop: asyncio.AbstractEventLoop
    runtime: Runtime
    user: User
    client: Client
    models: list[ChatModel]
    preset: Preset
    other_preset: Preset
    folder: Folder
    saved: SavedPrompt

    @initialize()
    def begin(self) -> None:
        self.conversation_id = uuid4()
        self.moved = asyncio.Event()
        self.loses_messages = False
        self.session_hash = self.client.session[HASH_SESSION_KEY]
        self.tabs = [Tab(self, sse=False), Tab(self, sse=True)]
        for tab in self.tabs:
            tab.connect()
        self.settle()

    # --- What people do ----------

    @rule(models=st.integers(1, 2))
    def sends(self, models: int) -> None:
        self.act(
            send_message,
            self.user,
            self.conversation_id,
            client_id=uuid4(),
            text="A question",
            model_ids=[model.pk for model in self.models[:models]],
        )

    @rule(choice=st.integers(0, 9))
    def edits(self, choice: int) -> None:
        self.act_on(choice, self._edit)

    def _edit(self, user: User, message_id: UUID) -> None:
        send_message(
            user,
            self.conversation_id,
            client_id=uuid4(),
            text="An edited question",
            model_ids=[self.models[0].pk],
            edits=message_id,
        )

    @rule(choice=st.integers(0, 9))
    def branches(self, choice: int) -> None:
        self.act_on(choice, branch_conversation)

    @rule(choice=st.integers(0, 9))
    def keeps(self, choice: int) -> None:
        self.act_on(choice, keep_reply)

    @rule(choice=st.integers(0, 9), model=st.integers(0, 1))
    def compares(self, choice: int, model: int) -> None:
        self.act_on(choice, lambda user, message_id: compare_reply(user, message_id, self.models[model].pk))

    @rule(choice=st.integers(0, 9), reply=st.integers(0, 9), is_rated=st.booleans())
    def takes_back(self, choice: int, reply: int, is_rated: bool) -> None:
        found = Message.objects.filter(conversation=self.conversation_id)
        messages = list(found.values_list("pk", flat=True))
        if messages:
            replaced = messages[reply % len(messages)]
            self.act_on(choice, lambda user, it: undo_replacement(user, replaced, it, is_rated=is_rated))

    @rule(choice=st.integers(0, 9))
    def stops(self, choice: int) -> None:
        self.act_on(choice, stop_reply)

    @rule(choice=st.integers(0, 9))
    def retries(self, choice: int) -> None:
        self.act_on(choice, retry_reply)

    @rule(choice=st.integers(0, 9))
    def continues(self, choice: int) -> None:
        self.act_on(choice, continue_reply)

    @rule(choice=st.integers(0, 9))
    def deletes(self, choice: int) -> None:
        self.act_on(choice, delete_message)

    @rule(choice=st.integers(0, 9))
    def restores(self, choice: int) -> None:
        self.act_on(choice, restore_message)

    @rule(choice=st.integers(0, 9))
    def shows_another_version(self, choice: int) -> None:
        self.act_on(choice, show_another_version)

    @rule(choice=st.integers(0, 9))
    def shows_a_found_message(self, choice: int) -> None:
        self.act_on(choice, show_message)

    @rule(title=st.sampled_from(["One", "Two <b>", "Three"]))
    def renames(self, title: str) -> None:
        self.act(rename_conversation, self.user, self.conversation_id, title)

    @rule(choice=st.integers(0, 2))
    def chooses_a_preset(self, choice: int) -> None:
        preset_id = [self.preset.pk, self.other_preset.pk, None][choice]
        self.act_here(lambda user, chat: choose_preset(user, chat, preset_id, {}))

    @rule(number=st.integers(1, 3))
    def changes_the_preset(self, number: int) -> None:
        self.act(change_preset, self.user, self.preset.pk, PresetContent("Poet", f"Write {number} verses."))

    @rule(is_in=st.booleans(), with_others=st.booleans())
    def moves(self, is_in: bool, with_others: bool) -> None:
        folder = self.folder.pk if is_in else None
        if with_others:
            self.act_here(lambda user, chat: move_conversations(user, [chat], folder))
        else:
            self.act_here(lambda user, chat: move_conversation(user, chat, folder))

    @rule(name=st.sampled_from(["urgent", "<b>"]), removes=st.booleans(), with_others=st.booleans())
    def tags(self, name: str, removes: bool, with_others: bool) -> None:
        if with_others:
            many = untag_conversations if removes else tag_conversations
            self.act_here(lambda user, chat: many(user, [chat], name))
        else:
            one = untag_conversation if removes else tag_conversation
            self.act_here(lambda user, chat: one(user, chat, name))

    @rule(archived=st.booleans())
    def archives(self, archived: bool) -> None:
        self.act_here(lambda user, chat: archive_conversations(user, [chat], archived=archived))

    @rule()
    def deletes_and_restores_the_chat(self) -> None:
        @transaction.atomic  # Viewers of a deleted chat are disconnected.
        def both(user: User, chat: UUID) -> None:
            delete_conversations(user, [chat])
            restore_conversations(user, [chat])

        self.act_here(both)

    @rule()
    def shares_and_continues(self) -> None:
        def share(user: User, chat: UUID) -> None:
            shown = range_of(user, chat)
            choices: dict[str, Any] = {"audience": "team", "days": 1, "title": ""}
            choices |= dict.fromkeys(("names", "files", "steps"), True)
            made = make_share(user, shown, fingerprint=shown.fingerprint, **choices)
            continue_share(user, made.secret)

        self.act_here(share)

    @rule()
    def sends_a_saved_prompt(self) -> None:
        self.act(
            send_message,
            self.user,
            self.conversation_id,
            client_id=uuid4(),
            text=self.saved.text,
            model_ids=[self.models[0].pk],
        )

    # --- What the provider does ----------

    @rule(
        pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=4),
        thinks=st.booleans(),
        most=st.integers(1, 3),
    )
    def write(self, pieces: list[str], thinks: bool, most: int) -> None:
        for answer in ScriptedProvider.open[-most:]:
            if thinks:
                answer.thinks("Hm. ")
            for piece in pieces:
                answer.says(piece)
        self.settle()

    @rule(outcome=st.sampled_from([Outcome.COMPLETE, Outcome.LENGTH, None]), choice=st.integers(0, 2))
    def ends(self, outcome: Outcome | None, choice: int) -> None:
        for answer in ScriptedProvider.open[choice : choice + 1]:
            if outcome is None:
                answer.breaks()
            else:
                answer.ends(outcome)
        self.settle()

    # --- What goes wrong ----------

    @rule(loses=st.booleans())
    def messages_are_lost(self, loses: bool) -> None:
        World.loses_messages = loses

    @rule(tab=st.integers(0, 1), count=st.integers(1, 5))
    def arrives(self, tab: int, count: int) -> None:
        self.tabs[tab].receive(count)

    @rule(tab=st.integers(0, 1), count=st.integers(0, 3))
    def is_cut(self, tab: int, count: int) -> None:
        self.tabs[tab].receive(count)
        self.tabs[tab].cut()

    @rule(tab=st.integers(0, 1), sse=st.booleans(), same=st.booleans())
    def reconnects(self, tab: int, sse: bool, same: bool) -> None:
        it = self.tabs[tab]
        if it.task is None:
            if not same and it.sse != sse:
                it.sse = sse
                it.last_event = it.revision  # another transport starts with the revision on the page
            it.connect()
            self.settle()

    @rule()
    def the_process_forgets_its_replies(self) -> None:
        """Loses the memory of the process, as a crash does. The journal is kept."""
        self.run(self.runtime.journal.tick())
        for run, _ in self.runtime.runner._runs.values():
            run.abandon()
        tasks = [task for _, task in self.runtime.runner._runs.values()]
        if tasks:
            self.run(asyncio.wait(tasks))
        self.run(run_unit(Generation.objects.filter(owner=process_name()).update, owner="dead"))
        self.run(self.runtime.recovery.sweep(is_alone=True))
        self.settle()

    # --- What must hold ----------

    @rule()
    def all_is_well_again(self) -> None:
        """After all are connected and nothing is running, each page equals a fresh one."""
        for tab in self.tabs:
            if tab.task is None:
                tab.connect()
        fresh = Tab(self, sse=False)
        fresh.connect()
        try:
            self.run(self._until_equal([*self.tabs, fresh]))
        finally:
            fresh.cut()

    async def _until_equal(self, tabs: list[Tab]) -> None:
        until = self.loop.time() + PATIENCE
        while True:
            await self.runtime.session_monitor.check()
            await asyncio.sleep(0.03)
            for tab in tabs:
                assert tab.task is not None
                if tab.task.done():
                    tab.task.result()
                tab.receive(len(tab.arriving))
            shown = [tab.shown() for tab in tabs]
            page = await run_unit(self.fresh_html)
            live = await run_unit(self._running)
            if len(set(shown)) == 1 and (live or shown[0] == _shown(parse(page))):
                return
            if self.loop.time() > until:
                assert shown[0] == shown[-1], "The first tab differs."
                assert shown[1] == shown[-1], "The second tab differs."
                assert shown[-1] == _shown(parse(page)), "A fresh stream differs from a fresh page."

    def teardown(self) -> None:
        if hasattr(self, "tabs"):
            World.loses_messages = False
            self.all_is_well_again()
            for tab in self.tabs:
                tab.cut()
            while self.runtime.runner.running:
                for answer in ScriptedProvider.open:
                    answer.ends(Outcome.COMPLETE)
                self.settle()

    # --- How ----------

    def act(self, action: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        with suppress(NotFoundError, ActionError):
            self.run(run_unit(action, *args, **kwargs))
        self.settle()

    def act_here(self, action: Callable[[User, UUID], object]) -> None:
        """Acts on the chat, which its first prompt creates."""
        if Message.objects.filter(conversation=self.conversation_id).exists():
            self.act(action, self.user, self.conversation_id)

    def act_on(self, choice: int, action: Callable[[User, Any], object]) -> None:
        messages = list(
            Message.objects.filter(conversation=self.conversation_id).order_by("-position").values_list("pk")
        )
        if messages:
            self.act(action, self.user, messages[choice % len(messages)][0])

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def settle(self) -> None:
        """Runs all pending work of the event loop; waits for nothing."""
        self.run(asyncio.sleep(0.01))

    def _running(self) -> bool:
        return Generation.objects.filter(conversation=self.conversation_id, status__in=LIVE).exists()

    def fresh_html(self) -> str:
        return self.client.get(f"/conversations/{self.conversation_id}/").content.decode()

    def fresh_page(self) -> Node:
        return parse(self.fresh_html())


def _shown(page: Node) -> str:
    names = (
        "#messages",
        "#revision",
        "#conversation-title",
        "#composer-action",
        "#live-status",
        "#preset-used",
    )
    return "\n".join(node.canonical() for name in names for node in page.select(name))


World.loses_messages = False


class LossyPubSub(PubSub):
    def conversation_changed(self, conversation_id: UUID) -> None:
        if not World.loses_messages or random.random() < 0.5:
            super().conversation_changed(conversation_id)

    def committed(self, change: CommittedChange) -> None:
        if not World.loses_messages or random.random() < 0.5:
            super().committed(change)


async def started(runtime: Runtime) -> None:
    runtime.start()


@pytest.fixture
def world(person: User, client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The parts of live delivery of this process, on an event loop of the test."""
    monkeypatch.setitem(registry.KINDS, "scripted", "tests.live.scripted.ScriptedProvider")
    monkeypatch.setattr(settings, "CHAT_ENDPOINTS", {"scripted": ACCOUNT})
    monkeypatch.setattr(settings, "CHAT_RUNNING_PER_PERSON", 1000)
    monkeypatch.setattr(settings, "CHAT_ATTEMPTS", 1)
    monkeypatch.setattr(feed, "MOST_FRAME_SECONDS", 0.001)
    monkeypatch.setattr(feed, "COLOUR_SECONDS", 0.0)  # all are late
    provider = Endpoint.objects.create(slug="scripted", name="Scripted")
    World.models = [ChatModel.objects.create(endpoint=provider, name=name) for name in ("one", "two")]
    World.user, World.client = person, client
    World.preset = make_preset(person, PresetContent("Poet", "Write verses."))
    World.other_preset = make_preset(person, PresetContent("<i>Cook</i>", "Name a dish."))
    World.folder = make_folder(person, "Work")
    change_folder(person, World.folder.pk, name="Work", instructions="Be brief.", preset_id=None)
    World.saved = make_saved_prompt(person, "sum", "Sum up {{text}} & more")
    client.force_login(person)
    loop = asyncio.new_event_loop()
    World.loop = loop
    World.runtime = Runtime(pubsub=LossyPubSub)
    install(World.runtime)
    loop.run_until_complete(started(World.runtime))
    yield
    loop.run_until_complete(World.runtime.stop(0))
    loop.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("world")
def test_a_page_kept_up_to_date_equals_a_fresh_one() -> None:
    run_state_machine_as_test(
        World,
        settings=hypothesis_settings(
            max_examples=EXAMPLES,
            derandomize=not LONG,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

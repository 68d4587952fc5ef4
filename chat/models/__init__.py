"""The models, one file for each noun. A model holds what concerns one noun. Code that spans nouns or
publishes is an action."""

from chat.models.api_token import ApiToken, Scope
from chat.models.attachment import Attachment, StoredFile
from chat.models.audit import TranscriptRead
from chat.models.catalog import ChatModel
from chat.models.chat_import import ChatImport
from chat.models.conversation import Conversation
from chat.models.endpoint import Endpoint
from chat.models.feedback import Feedback
from chat.models.folder import Folder
from chat.models.generation import LIVE, Generation, Status
from chat.models.journal import JournalEntry
from chat.models.knowledge import Knowledge, Passage, Reading
from chat.models.message import Message, Role
from chat.models.periodic import PeriodicTask
from chat.models.preferences import Preferences
from chat.models.preset import ChatStart, Preset, PresetUse, PresetVersion
from chat.models.probe import Probe
from chat.models.queued_call import QueuedCall
from chat.models.saved_prompt import SavedPrompt
from chat.models.schema import Schema
from chat.models.search_entry import SearchEntry
from chat.models.sent_request import SentRequest
from chat.models.server_settings import ServerSettings
from chat.models.share import Audience, Share
from chat.models.sharing import Visibility
from chat.models.step import Step, ToolCallState, ToolRun
from chat.models.summary import Summary
from chat.models.tag import Tag
from chat.models.throttle import LogInThrottle
from chat.models.tool import Tool, ToolServer
from chat.models.usage import RunningCall, UsageEntry
from chat.models.user import User

__all__ = [
    "LIVE",
    "ApiToken",
    "Attachment",
    "Audience",
    "ChatImport",
    "ChatModel",
    "ChatStart",
    "Conversation",
    "Endpoint",
    "Feedback",
    "Folder",
    "Generation",
    "JournalEntry",
    "Knowledge",
    "LogInThrottle",
    "Message",
    "Passage",
    "PeriodicTask",
    "Preferences",
    "Preset",
    "PresetUse",
    "PresetVersion",
    "Probe",
    "QueuedCall",
    "Reading",
    "Role",
    "RunningCall",
    "SavedPrompt",
    "Schema",
    "Scope",
    "SearchEntry",
    "SentRequest",
    "ServerSettings",
    "Share",
    "Status",
    "Step",
    "StoredFile",
    "Summary",
    "Tag",
    "Tool",
    "ToolCallState",
    "ToolRun",
    "ToolServer",
    "TranscriptRead",
    "UsageEntry",
    "User",
    "Visibility",
]

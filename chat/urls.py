"""URLs of the chat's pages and fragments."""

from django.urls import path

from chat.transports.connection_check import ticks
from chat.transports.sse import events
from chat.views import (
    api_tokens,
    attachments,
    conversations,
    folders,
    knowledge,
    messages,
    preferences,
    presets,
    saved_prompts,
    sent,
    sessions,
    shares,
    tool_calls,
    transfer,
    usage,
)
from chat.views.branches import branches
from chat.views.comparisons import comparison, kept
from chat.views.connection_check import connection_check
from chat.views.first_admin import first_admin
from chat.views.health import healthz, readyz
from chat.views.login_link import login_link
from chat.views.metrics import metrics
from chat.views.palette import palette, theme
from chat.views.preset_choice import preset_choice
from chat.views.search import search_page
from chat.views.selection import selection, selection_restoration
from chat.views.sidebar import conversation_list
from chat.views.tags import conversation_tags

urlpatterns = [
    path("", conversations.home, name="home"),
    path("conversations/", conversation_list, name="conversations"),
    path("conversations/<uuid:conversation_id>/", conversations.conversation, name="conversation"),
    path("conversations/<uuid:conversation_id>/events/", events, name="events"),
    path("conversations/<uuid:conversation_id>/messages/", messages.messages, name="messages"),
    path(
        "conversations/<uuid:conversation_id>/before/<int:position>/", conversations.earlier, name="earlier"
    ),
    path("conversations/<uuid:conversation_id>/restoration/", conversations.restoration, name="restoration"),
    path("conversations/<uuid:conversation_id>/export/", transfer.export_chat, name="export_chat"),
    path("conversations/<uuid:conversation_id>/shares/", shares.shares, name="shares"),
    path("settings/shares/", shares.my_shares, name="my_shares"),
    path("settings/shares/<uuid:share_id>/", shares.share, name="share"),
    path("shared/<slug:secret>/", shares.shared, name="shared"),
    path("shared/<slug:secret>/files/<uuid:attachment_id>/", shares.shared_file, name="shared_file"),
    path("shared/<slug:secret>/chats/", shares.continued, name="continued_share"),
    path("conversations/<uuid:conversation_id>/tags/", conversation_tags, name="conversation_tags"),
    path("selection/", selection, name="selection"),
    path("selection/restoration/", selection_restoration, name="selection_restoration"),
    path("export/", transfer.export_chats, name="export_chats"),
    path("settings/transfer/", transfer.transfer, name="transfer"),
    path("settings/transfer/piece/", transfer.import_piece, name="import_piece"),
    path("settings/transfer/imports/", transfer.imports, name="imports"),
    path("settings/transfer/imports/<uuid:import_id>/", transfer.one_import, name="one_import"),
    path("search/", search_page, name="search"),
    path("palette/", palette, name="palette"),
    path("settings/theme/", theme, name="theme"),
    path("messages/<uuid:message_id>/", messages.message, name="message"),
    path("messages/<uuid:message_id>/restoration/", messages.restoration, name="message_restoration"),
    path("messages/<uuid:message_id>/place/", messages.place, name="place"),
    path("messages/<uuid:message_id>/path/", messages.message_path, name="message_path"),
    path("messages/<uuid:message_id>/variant/", messages.variant, name="variant"),
    path("messages/<uuid:message_id>/branches/", branches, name="branches"),
    path("messages/<uuid:message_id>/comparison/", comparison, name="comparison"),
    path("messages/<uuid:message_id>/kept/", kept, name="kept"),
    path("messages/<uuid:message_id>/feedback/", messages.feedback, name="feedback"),
    path("messages/<uuid:message_id>/sent/", sent.sent, name="sent"),
    path("settings/instructions/", preferences.instructions, name="instructions"),
    path("settings/presets/", presets.presets, name="presets"),
    path("settings/presets/new/", presets.new_preset, name="new_preset"),
    path("settings/presets/<uuid:preset_id>/", presets.preset, name="preset"),
    path("settings/presets/<uuid:preset_id>/copies/", presets.preset_copies, name="preset_copies"),
    path("settings/presets/<uuid:preset_id>/versions/", presets.preset_versions, name="preset_versions"),
    path("conversations/<uuid:conversation_id>/preset/", preset_choice, name="preset_choice"),
    path("folders/", folders.folders, name="folders"),
    path("folders/<uuid:folder_id>/", folders.folder, name="folder"),
    path("folders/<uuid:folder_id>/files/", knowledge.folder_files, name="folder_files"),
    path("settings/presets/<uuid:preset_id>/files/", knowledge.preset_files, name="preset_files"),
    path("knowledge/<uuid:knowledge_id>/", knowledge.knowledge_file, name="knowledge_file"),
    path("messages/<uuid:message_id>/sources/<int:number>/", knowledge.source, name="source"),
    path("folders/<uuid:folder_id>/chats/", folders.folder_chats, name="folder_chats"),
    path(
        "conversations/<uuid:conversation_id>/folder/",
        folders.conversation_folder,
        name="conversation_folder",
    ),
    path("settings/prompts/", saved_prompts.saved_prompts, name="saved_prompts"),
    path("settings/prompts/new/", saved_prompts.new_saved_prompt, name="new_saved_prompt"),
    path("settings/prompts/<uuid:prompt_id>/", saved_prompts.saved_prompt, name="saved_prompt"),
    path("prompts/", saved_prompts.prompt_choices, name="prompt_choices"),
    path("summaries/<uuid:summary_id>/", sent.summary, name="summary"),
    path("files/<uuid:attachment_id>/", attachments.attachment, name="attachment"),
    path("models/<int:model_id>/favourite/", preferences.favourite, name="favourite"),
    path("settings/usage/", usage.usage, name="usage"),
    path("settings/sessions/", sessions.sessions, name="sessions"),
    path("settings/sessions/<int:log_in_id>/", sessions.session, name="session"),
    path("settings/tokens/", api_tokens.api_tokens, name="api_tokens"),
    path("settings/tokens/new/", api_tokens.new_api_token, name="new_api_token"),
    path("settings/tokens/<int:token_id>/", api_tokens.api_token, name="api_token"),
    path("settings/", preferences.settings_page, name="settings"),
    path("messages/<uuid:message_id>/generation/", messages.generation, name="generation"),
    path("messages/<uuid:message_id>/generations/", messages.generations, name="generations"),
    path("tool-calls/<int:call_id>/", tool_calls.tool_call, name="tool_call"),
    path("welcome/<str:token>/", first_admin, name="first_admin"),
    path("log-in/<int:person_id>/<str:token>/", login_link, name="login_link"),
    path("connection-check/", connection_check, name="connection_check"),
    path("connection-check/events/", ticks, name="connection_check_events"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]

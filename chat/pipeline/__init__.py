"""The stages between a provider's events and their reader, one module each.

    meter(validate(transform(watchdog(retry(provider.stream(request))))))

The order matters, from the inside out:

- `retry` is innermost, because an attempt that fails before its first visible output must not affect any
  other stage: no text is held back, and nothing is counted. The adapters limit the time to connect
  (`EndpointConfig.connect_seconds`), because only they know when the request is sent.
- `watchdog` is around `retry`, so that the limit on the whole answer covers all attempts.
- `transform` changes text. It is around `watchdog`, because the provider is not silent while a transformer
  holds text back.
- `validate` checks the transformed text, as the reader sees it.
- `meter` is outermost: it counts the delivered output, and stops at limits on tokens and cost.

`compose` builds the chain from a `StreamPolicy`. Closing its iterator, or cancelling its reader, closes every
stage and the connection to the provider.

A leaf package: it uses the events and errors of `chat.providers`, and no Django.
"""

"""What happens to a provider's events on their way to a reader, one small module a stage.

    meter(validate(transform(watchdog(retry(provider.stream(request))))))

Read from the inside out; the order matters:

- `retry` is innermost, since an attempt that fails before its first visible output must leave no trace
  in any stage: no text held back, nothing counted. How long connecting may take is the adapters' own
  limit (`Endpoint.connect_seconds`): only they know when the request was sent.
- `watchdog` is around it, so that it goes on telling of silence while a retry waits, and so that the
  limit on the whole answer covers all attempts.
- `transform` changes text. It comes after time has been watched (a transformer may hold text back, which
  must not look like silence) and before judgement.
- `validate` judges what a reader would really see: the transformed text.
- `meter` is outermost: it counts what is delivered, and stops at limits on tokens and cost.

`compose` builds the chain from a `StreamPolicy`. Closing its iterator, or cancelling whoever reads it,
closes every stage and in the end the connection to the provider.

A leaf: it knows the events and errors of `chat.providers`, and nothing of Django.
"""

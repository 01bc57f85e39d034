"""The synchronous client, written from the asynchronous one."""

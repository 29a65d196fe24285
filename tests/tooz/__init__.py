"""The tooz driver, and tooz's own tests against it (`suite`)."""

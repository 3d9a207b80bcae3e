package kzoo.core

/** What a user can read and act on: one sentence on what came, what was expected, what to do. */
class KzooException(message: String) : Exception(message)

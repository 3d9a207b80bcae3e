/** An error for the user: one sentence that says what came, what was expected and what to do. */
export class KzooError extends Error {}

/** What the server writes into the page: the console's path and the nonce of its styles. */

const meta = document.querySelector<HTMLMetaElement>('meta[name="console"]')
const given = meta?.content ?? ''

/** The path of the console, without a slash at its end. */
export const CONSOLE = given.startsWith('/') ? given : '/console'

/** The path that the API's own paths follow: empty, or a prefix such as `/wf`. */
export const API = CONSOLE.replace(/\/console$/, '')

/** `getAttribute` would give an empty string: browsers hide a nonce from selectors. */
export const NONCE = meta?.nonce ?? ''

/** What a header may consist of, in both directions, so that none can end its line or be read in another way. */

/** RFC 9110 section 5.6.2. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** All but tab, visible ASCII and the upper half of Latin-1 (RFC 9110 section 5.5). */
export const NOT_IN_A_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

// Tables as RFC 4180 has them.

/** A field. */
export const csv = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

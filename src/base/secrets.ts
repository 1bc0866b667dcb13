const named = /(AccountKey|SharedAccessKey|SharedAccessSignature|\bsig)(=|%3D)[^;&\s"'<>]+/gi;

/** A text with what stands behind the names of keys and signatures taken out: for what a person gave in the wrong place. */
export function maskSecrets(text: string): string {
  return text.replace(named, '$1=...');
}

/** Whether a text holds a key or signature by its name: a connection string, or a URL with a SAS token. */
export function holdsSecret(text: string): boolean {
  return text.search(named) >= 0;
}

/** Words that a visitor should not miss. */
import { told } from "./words.ts";

export function Notice({ error }: { error: unknown }) {
  const { title, text, fix } = told(error);
  return (
    <div class="notice" role="alert">
      <strong>{title}</strong>
      <p>{text}</p>
      {fix && <p class="fix">{fix}</p>}
    </div>
  );
}

/** Sends a person's verdict: once, however often the button is pressed or an answer gets lost. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { keep } from "../api/again";
import { api, newKey, read, type Schemas } from "../api/client";
import { session } from "../api/queries";
import { useSignal } from "../ui/signal";
import type { ItemBody, SessionBody } from "./progress";
import type { Region } from "./zoom";

export type Final = Schemas["FinalResult"];
type Given = Pick<Schemas["VerificationRequest"], "final_result" | "reason_code" | "notes">;
const MS = 1000;

export interface Judged {
  body: SessionBody;
  item: ItemBody;
  canDecide: boolean;
  onDecided: (after: SessionBody) => void;
}

export interface Marking {
  region: Region | null;
  setRegion: (region: Region | null) => void;
  isMarking: boolean;
  setIsMarking: (is: boolean) => void;
  /** What the AI found: [x, y, width, height] pixels each. */
  boxes: Region[];
}

export interface Deciding extends Judged {
  imageId: string | null;
  hasSeenAi: boolean;
  marking?: Marking;
  checks?: Record<string, boolean>;
}

export function useDecide(props: Deciding) {
  const signal = useSignal();
  const client = useQueryClient();
  const shown_ms = useRef(0);
  const sent = useRef({ text: "", key: "" });
  useEffect(() => {
    shown_ms.current = performance.now();
  }, []);
  const verify = useMutation({
    mutationFn: (body: Schemas["VerificationRequest"]) =>
      read(
        api.POST("/api/v1/sessions/{session_id}/verifications", {
          params: { path: { session_id: props.body.session.id } },
          headers: { "Idempotency-Key": keyOf(sent.current, body) },
          body,
        }),
      ),
    onSuccess: (answer, { final_result }) => {
      signal(final_result);
      keep(client, session(props.body.session.id).queryKey, answer.session);
    },
    onError: () => {
      signal("wrong");
      void client.invalidateQueries({ queryKey: ["session", props.body.session.id] }); // closed elsewhere?
    },
  });
  const send = (given: Given) => {
    const body = {
      ...given,
      item_id: props.item.item.id,
      image_id: props.imageId,
      region: props.marking?.region ?? null,
      checks: props.checks ?? null,
      saw_ai: props.hasSeenAi,
      verification_time: Math.min(86_400, (performance.now() - shown_ms.current) / MS),
    };
    // Given here, it is only called while the item is still looked at: who has gone on is not led away again.
    verify.mutate(body, { onSuccess: (answer) => props.onDecided(answer.session) });
  };
  return { send, isPending: verify.isPending, error: verify.error };
}

/** The key of the request before if this says the same (how long it took aside), else a new one. */
function keyOf(sent: { text: string; key: string }, body: Schemas["VerificationRequest"]): string {
  const text = JSON.stringify({ ...body, verification_time: 0 });
  if (text !== sent.text) Object.assign(sent, { text, key: newKey() });
  return sent.key;
}

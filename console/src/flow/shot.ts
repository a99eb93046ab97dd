import { api } from "../api/client";

/** One picture of a camera of the agent's, stored nowhere. */
export async function shotOf(camera: string): Promise<Blob> {
  const answer = await api.POST("/api/v1/cameras/{name}/capture", {
    params: { path: { name: camera } },
    parseAs: "blob",
  });
  return answer.data as Blob;
}

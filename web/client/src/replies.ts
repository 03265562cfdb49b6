/** What a model says, the same from a server and on the device. */
import type {
  BoxesReply,
  CategoryReply,
  Chance,
  LabelsReply,
  MaskReply,
  NumbersReply,
  PointsReply,
  Reply,
} from "./generated/replies.ts";

export type { BoxesReply, CategoryReply, Chance, LabelsReply, MaskReply, NumbersReply, PointsReply, Reply };

/** A class as the model's maker calls it. */
export type Label = string | number | boolean;

/** What is said for one output of the model. */
export type Answer = Reply["answers"][number];

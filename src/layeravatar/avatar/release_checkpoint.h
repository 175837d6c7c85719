// Checkpoints of the public release into model packs (spec/model.md sections 10 and 16).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/avatar/import_report.h"
#include "layeravatar/avatar/pack.h"
#include "layeravatar/avatar/release_buffers.h"
#include "layeravatar/io/pickle.h"

namespace layeravatar::avatar {

/// A checkpoint, opened: its arrays without a leading "module.", and what else matters.
struct ReleaseCheckpoint {
  std::string file;                    // for messages
  StateDict state;                     // points into `content`, or to arrays of the caller
  std::string config;                  // text of the training configuration; empty where there is none
  std::string iteration;               // of the training; empty where it is not told
  std::vector<std::string> optimiser;  // names of its entries
  io::PickleValue content;             // keeps the arrays alive
};

/// Whether a file of torch.save holds a state_dict.
bool is_release_checkpoint(const io::PickleValue& content);
/// Throws Error(kInput): no state_dict, a key twice after "module." is taken away.
ReleaseCheckpoint open_release_checkpoint(const io::PickleValue& content, const std::string& file);

struct CheckpointOptions {
  std::filesystem::path templates;  // folder of the release's twelve arrays; empty: the checkpoint's own buffers
  std::filesystem::path smplx;      // SMPL-X model; empty: the checkpoint's own buffers
  int planes_height = 0;            // rows of the planes; 0: as the configuration text says, else 128
  int image_size = 0;               // pixels; 0: as the configuration text says, else 1024
};

struct ImportedPack {
  ModelPack pack;  // profile "official"; write it with Storage::kExact
  ImportReport report;
};

/// Decoder and denoiser are the averaged ones (decoder_ema.*, diffusion_ema.denoising.*), or the others with a warning
/// where those are absent. Given files win over what the checkpoint carries. The carried skinning volume is compared with
/// ours; a warning tells a difference above 1e-4.
/// Throws Error(kInput), one line: shapes that the configuration does not have (the first ten named), non-finite numbers,
/// a template or body that is neither carried whole nor given, the files' own messages. Error(kConfig) for a planes height
/// that the denoiser's levels do not divide or a setting out of range.
ImportedPack import_release_checkpoint(const ReleaseCheckpoint& checkpoint, const CheckpointOptions& options);

}  // namespace layeravatar::avatar

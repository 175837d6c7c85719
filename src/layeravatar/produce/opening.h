// The first part of opening a pack to sample from it. No LibTorch: the program begins with it while it still loads LibTorch.
#pragma once
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "layeravatar/avatar/opened_pack.h"
#include "layeravatar/diffusion/packed_unet.h"
#include "layeravatar/diffusion/precision.h"

namespace layeravatar::produce {

/// Of a pack's denoiser, by the name that a command was given: fp32, bf16 or auto, which is fp32 with an official pack, whose numbers are the release's,
/// and bf16 with others where the processor has it. Throws Error(kConfig) for another name.
diffusion::Precision precision_of(const avatar::PackConfig& config, const std::string& name);

/// On a thread of its own a pack is opened, its template and body are read and the volume of skinning weights is built, and tables of neighbours; its denoiser's
/// weights are brought to float32 and packed for sampling. Nothing is said of a pack that cannot be opened so: whoever wants it opens it the usual way and says what is wrong.
class Opening {
 public:
  Opening(std::filesystem::path pack_file, std::string precision);
  /// Waits for the thread.
  ~Opening();
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;

  [[nodiscard]] const std::filesystem::path& pack_file() const { return pack_file_; }
  struct Result {
    avatar::OpenedPack pack;
    std::shared_ptr<diffusion::PackedUNet> denoiser;  // its weights may still be on their way (PackedUNet::pack); null where the pack has none
  };
  /// Waits for all but the packing. Nothing where it failed, and the second time.
  std::optional<Result> take();

 private:
  std::filesystem::path pack_file_;
  std::future<Result> result_;
  std::future<void> work_;
};

}  // namespace layeravatar::produce

// The small model of the recorded training steps as a pack would open.
#pragma once
#include "layeravatar/produce/studio.h"
#include "layeravatar/train/recorded_run_for_test.h"

namespace layeravatar::train {

struct RecordedStudio {
  RecordedRun run;
  produce::Studio studio;
  Scaffold scaffold = make_scaffold(run.scaffold.deformer);

  RecordedStudio() {
    studio.config.profile = "default";
    studio.config.planes_height = 32;
    studio.config.image_size = 64;
    studio.deformer = run.scaffold.deformer;
    studio.sampler = run.scaffold.sampler;
    studio.decoder = run.learned.decoder;
    studio.decoder->eval();
    for (torch::Tensor& p : studio.decoder->parameters()) p.requires_grad_(false);
    studio.activation = run.learned.activation;
  }
  [[nodiscard]] torch::Tensor planes() const { return studio.activation.forward(4 * run.codes[0].code); }
  [[nodiscard]] torch::Tensor draw(const torch::Tensor& planes, const SceneBatch& scene, std::size_t view) const {
    const torch::NoGradGuard no_grad;
    return produce::render_view(produce::pose(studio, produce::decode(studio, planes), scene.params.betas, scene.params), scene.cameras[view], false).full.clamp(0, 1);
  }
};

}  // namespace layeravatar::train

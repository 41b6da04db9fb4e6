//! A device that is lost: errors for whoever waits, no panic and no waiting without end.

use adem_kernels::{Epilogue, IdReading, Matrix, linear, next_token, self_test, tune};
use burn::tensor::Tensor;

use crate::fragile::Fragile;
use crate::gpu::{gpu, upload};

#[test]
fn work_on_a_lost_device_ends_in_errors() {
    let Some(_turn) = gpu() else { return };
    pollster::block_on(async {
        let fragile = Fragile::new().await;
        let device = &fragile.device;
        let values: Vec<f32> = (0..64 * 64).map(|i| (i as f32).sin()).collect();
        let weights = Matrix::float(upload(&values, [64, 64], device));
        let x: Tensor<3> = upload(&values[..64], [1, 1, 64], device);
        let product = || linear(x.clone(), &weights, Epilogue::default());
        let chosen = || {
            let logits = product().reshape([64]);
            IdReading::start(next_token(logits, &weights).0)
        };
        assert!(product().into_data_async().await.is_ok());
        assert!(chosen().finish().await.is_ok());

        let under_way = chosen();
        fragile.lose();
        // It may have come before the end.
        let _ = under_way.finish().await;

        // Which error depends on how far the device's end had come.
        assert!(chosen().finish().await.is_err());
        // What is read back may be fetched only when it is looked at.
        let read = product().into_data_async().await;
        assert!(read.is_err() || read.is_ok_and(|data| data.try_to_vec::<f32>().is_err()));
        let report = self_test(device).await;
        assert_eq!(report.switched_off.len(), report.checked);
        assert!(tune(device).await.is_empty());
    });
}
